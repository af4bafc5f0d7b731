// A stand-in for LiveKit Egress, for tests on a machine that has no GStreamer.
//
// livekit-server can't tell it from the real one: it registers on the same Redis, takes the same
// requests, joins rooms as a hidden recorder, reports the same states in the same order, and
// delivers files with what was said. Beside it does on command what real ones do on bad days: see
// faults.go. What it does is modelled on what LiveKit Egress 1.14.0 was seen to do.
//
// Usage: egress-standin CONFIG.json
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/livekit/psrpc"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: egress-standin CONFIG.json")
	}
	config, err := readConfig(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(config); err != nil {
		log.Fatal(err)
	}
}

// run serves until it is told to end: SIGTERM lets recordings finish, SIGINT ends them.
func run(config *Config) error {
	// Nobody will finish what was left from before.
	if err := os.RemoveAll(config.Directory); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: config.Redis})
	if err := client.Ping(context.Background()).Err(); err != nil {
		return err
	}
	service, err := newService(config, psrpc.NewRedisMessageBus(client))
	if err != nil {
		return err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(config.ControlPort))
	go func() {
		if err := http.ListenAndServe(address, control(service)); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT)
	for received := range signals {
		if received == syscall.SIGINT {
			service.endAll()
		}
		go func() {
			service.drain()
			os.Exit(0)
		}()
	}
	return nil
}
