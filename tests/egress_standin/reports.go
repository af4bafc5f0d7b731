package main

import (
	"context"
	"log"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
)

const (
	createTimeout = 15 * time.Second
	updateTimeout = 10 * time.Second
	firstPause    = 500 * time.Millisecond
	longestPause  = time.Minute
)

// reports tells livekit-server how recordings are, in order for each of them.
type reports struct {
	io      rpc.IOInfoClient
	mu      sync.Mutex
	queues  map[string]chan *livekit.EgressInfo
	pending sync.WaitGroup
}

func newReports(bus psrpc.MessageBus) (*reports, error) {
	io, err := rpc.NewIOInfoClient(bus)
	return &reports{io: io, queues: map[string]chan *livekit.EgressInfo{}}, err
}

// create makes a recording known; livekit-server says egress_started.
func (r *reports) create(info *livekit.EgressInfo) error {
	_, err := r.io.CreateEgress(context.Background(), info, psrpc.WithRequestTimeout(createTimeout))
	return err
}

// update says how it is now. It does not wait, and repeats itself until somebody listens.
func (r *reports) update(info *livekit.EgressInfo) {
	r.pending.Add(1)
	r.queue(info.EgressId) <- proto.Clone(info).(*livekit.EgressInfo)
}

// flush returns when all was told.
func (r *reports) flush() {
	r.pending.Wait()
}

func (r *reports) queue(id string) chan<- *livekit.EgressInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue := r.queues[id]
	if queue == nil {
		// A recording has half a dozen states at most.
		queue = make(chan *livekit.EgressInfo, 100)
		r.queues[id] = queue
		go func() {
			for info := range queue {
				r.tell(info)
				r.pending.Done()
			}
		}()
	}
	return queue
}

func (r *reports) tell(info *livekit.EgressInfo) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, err := r.io.UpdateEgress(context.Background(), info, psrpc.WithRequestTimeout(updateTimeout))
		if err == nil {
			log.Printf("%s %s %s", info.EgressId, info.Status, info.Error)
			return
		}
		log.Printf("%s: livekit-server was not told: %v", info.EgressId, err)
		time.Sleep(pause)
	}
}
