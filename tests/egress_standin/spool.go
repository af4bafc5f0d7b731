package main

import (
	"bufio"
	"encoding/binary"
	"os"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/livekit/protocol/livekit"
)

// spool keeps the packets of a track as they came, with the time at which they did.
type spool struct {
	path    string
	channel livekit.AudioChannel
	mu      sync.Mutex
	file    *os.File
	buffer  *bufio.Writer
}

func newSpool(path string, channel livekit.AudioChannel) (*spool, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &spool{path: path, channel: channel, file: file, buffer: bufio.NewWriter(file)}, nil
}

// add keeps a packet: nanoseconds since 1970, RTP timestamp, length, Opus; big endian. A write that
// fails shows at the latest when the spool is closed.
func (s *spool) add(packet *rtp.Packet, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var head [14]byte
	binary.BigEndian.PutUint64(head[:], uint64(at.UnixNano()))
	binary.BigEndian.PutUint32(head[8:], packet.Timestamp)
	binary.BigEndian.PutUint16(head[12:], uint16(len(packet.Payload)))
	_, _ = s.buffer.Write(head[:])
	_, _ = s.buffer.Write(packet.Payload)
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.buffer.Flush()
	if closing := s.file.Close(); err == nil {
		err = closing
	}
	return err
}
