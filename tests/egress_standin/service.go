package main

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
)

// service is what livekit-server talks to.
type service struct {
	rpc.UnimplementedEgressHandlerServer

	config   *Config
	reports  *reports
	faults   *faults
	starts   rpc.EgressInternalServer
	handlers rpc.EgressHandlerServer

	mu         sync.Mutex
	recordings map[string]*recording
	late       map[string]bool
	isDraining bool
	running    sync.WaitGroup
}

func newService(config *Config, bus psrpc.MessageBus) (*service, error) {
	s := &service{
		config:     config,
		faults:     newFaults(),
		recordings: map[string]*recording{},
		late:       map[string]bool{},
	}
	var err error
	if s.reports, err = newReports(bus); err != nil {
		return nil, err
	}
	if s.handlers, err = rpc.NewEgressHandlerServer(s, bus); err != nil {
		return nil, err
	}
	if s.starts, err = rpc.NewEgressInternalServer(s, bus); err != nil {
		return nil, err
	}
	if err = s.starts.RegisterListActiveEgressTopic(""); err != nil {
		return nil, err
	}
	return s, s.starts.RegisterStartEgressTopic("")
}

// StartEgressAffinity is the bid for a request: below 0 is none at all. One that is idle bids low,
// so that the caller waits 0.5 s for others who are not.
func (s *service) StartEgressAffinity(_ context.Context, request *rpc.StartEgressRequest) float32 {
	if _, isAbsent := s.faults.take("absent", request.EgressId); isAbsent {
		return -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch count := len(s.recordings); {
	case s.isDraining, s.config.Capacity > 0 && count >= s.config.Capacity:
		return -1
	case count == 0:
		return 0.5
	default:
		return 1
	}
}

// StartEgress answers as soon as the recording is known to livekit-server; it is STARTING then.
func (s *service) StartEgress(ctx context.Context, request *rpc.StartEgressRequest) (*livekit.EgressInfo, error) {
	if _, refuses := s.faults.take("refuse", request.EgressId); refuses {
		return nil, refused(psrpc.Unavailable, "not enough CPU")
	}
	if fault, isSilent := s.faults.take("no_answer", request.EgressId); isSilent {
		s.startLate(request, seconds(fault.Seconds))
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fault, isSlow := s.faults.take("slow_start", request.EgressId); isSlow {
		time.Sleep(seconds(fault.Seconds))
	}
	return s.start(request)
}

// startLate starts it although nobody waits for an answer any more.
func (s *service) startLate(request *rpc.StartEgressRequest, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late[request.EgressId] {
		return
	}
	s.late[request.EgressId] = true
	time.AfterFunc(delay, func() { _, _ = s.start(request) })
}

func (s *service) start(request *rpc.StartEgressRequest) (*livekit.EgressInfo, error) {
	order, err := newOrder(request)
	if err != nil {
		return nil, err
	}
	r, err := s.add(order)
	if err != nil {
		return nil, err
	}
	shown := proto.Clone(order.info).(*livekit.EgressInfo)
	if err := s.reports.create(shown); err != nil {
		s.remove(r)
		return nil, err
	}
	go func() {
		defer s.remove(r)
		r.run()
	}()
	return shown, nil
}

func (s *service) add(order *order) (*recording, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := order.info.EgressId
	if s.recordings[id] != nil {
		return nil, refused(psrpc.AlreadyExists, "egress already exists")
	}
	r := newRecording(s, order)
	if err := s.handlers.RegisterStopEgressTopic(id); err != nil {
		return nil, err
	}
	s.recordings[id] = r
	s.running.Add(1)
	return r, nil
}

func (s *service) remove(r *recording) {
	s.handlers.DeregisterStopEgressTopic(r.id())
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recordings, r.id())
	s.running.Done()
}

// ListActiveEgress names the recordings that run here.
func (s *service) ListActiveEgress(context.Context, *rpc.ListActiveEgressRequest) (*rpc.ListActiveEgressResponse, error) {
	response := &rpc.ListActiveEgressResponse{}
	for _, r := range s.all() {
		response.EgressIds = append(response.EgressIds, r.id())
	}
	return response, nil
}

// StopEgress answers when the recording knows how it ends; while it waits for somebody who is not
// in the room, that is not soon.
func (s *service) StopEgress(ctx context.Context, request *livekit.StopEgressRequest) (*livekit.EgressInfo, error) {
	s.mu.Lock()
	r := s.recordings[request.EgressId]
	s.mu.Unlock()
	if r == nil {
		return nil, refused(psrpc.NotFound, "egress not found")
	}
	if !r.awaits(ctx, r.ready) {
		return nil, ctx.Err()
	}
	r.end(ending{reason: livekit.EndReasonAPI})
	if !r.awaits(ctx, r.settled) {
		return nil, ctx.Err()
	}
	return r.shown(), nil
}

func (s *service) all() []*recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]*recording, 0, len(s.recordings))
	for _, r := range s.recordings {
		found = append(found, r)
	}
	return found
}

// endAll has every recording end and be delivered.
func (s *service) endAll() {
	for _, r := range s.all() {
		r.end(ending{reason: livekit.EndReasonKilled})
	}
}

// drain takes no more requests and returns when the last recording is delivered.
func (s *service) drain() {
	s.mu.Lock()
	s.isDraining = true
	s.mu.Unlock()
	s.running.Wait()
	s.reports.flush()
}

// goAway has the service answer no more requests.
func (s *service) goAway() {
	_ = s.faults.set(Fault{Name: "absent"})
}

// misbehave has something go wrong, at once where a running recording is concerned.
func (s *service) misbehave(fault Fault) error {
	if err := s.faults.set(fault); err != nil {
		return err
	}
	if fault.Name == "silent" {
		s.goAway()
	}
	for _, r := range s.all() {
		r.looksForFaults()
	}
	return nil
}
