package main

import (
	"encoding/json"
	"os"
	"time"
)

// Config is what the stand-in is told at its start.
type Config struct {
	// Redis is host:port of the Redis that livekit-server uses.
	Redis     string `json:"redis"`
	WsURL     string `json:"ws_url"`
	APIKey    string `json:"api_key"`
	APISecret string `json:"api_secret"`
	// ControlPort takes commands on 127.0.0.1.
	ControlPort int `json:"control_port"`
	// Directory holds what is being recorded, until it is delivered.
	Directory string `json:"directory"`
	// Mixer is the command that makes a file of what was recorded; it gets the path of a job.
	Mixer []string `json:"mixer"`
	// WaitSeconds is how long tracks and participants that are not there are waited for.
	WaitSeconds float64 `json:"wait_seconds"`
	// Capacity is how many recordings it takes at a time; 0: any number.
	Capacity int `json:"capacity"`
}

func readConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := &Config{WaitSeconds: 30}
	return config, json.Unmarshal(text, config)
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}
