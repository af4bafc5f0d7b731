package main

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

const connectionLost = "recording ended early: connection to room failed"

// ending is why a recording ends.
type ending struct {
	reason string
	err    error
	flaw   flaw
}

// recording is one egress. The real one starts a process for each.
type recording struct {
	service   *service
	config    *Config
	order     *order
	directory string

	// ready: those who are asked for are there. settled: how it ends is known. sound: it came.
	ready, settled, sound chan struct{}
	endings               chan ending
	listeners             sync.WaitGroup

	mu       sync.Mutex
	info     *livekit.EgressInfo
	isActive bool
	hasLeft  bool
	soundAt  time.Time
	room     *lksdk.Room
	spools   []*spool
}

func newRecording(s *service, order *order) *recording {
	return &recording{
		service:   s,
		config:    s.config,
		order:     order,
		directory: filepath.Join(s.config.Directory, order.info.EgressId),
		ready:     make(chan struct{}),
		settled:   make(chan struct{}),
		sound:     make(chan struct{}),
		endings:   make(chan ending, 1),
		info:      proto.Clone(order.info).(*livekit.EgressInfo),
	}
}

func (r *recording) id() string {
	return r.order.info.EgressId
}

// shown is what others get to see of it.
func (r *recording) shown() *livekit.EgressInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return proto.Clone(r.info).(*livekit.EgressInfo)
}

// end has it end, unless it is ending already.
func (r *recording) end(why ending) {
	select {
	case r.endings <- why:
	default:
	}
}

// awaits returns whether something happened while somebody still waits for it.
func (r *recording) awaits(ctx context.Context, event <-chan struct{}) bool {
	select {
	case <-event:
		return true
	case <-ctx.Done():
		return false
	}
}

// note changes what is known of it.
func (r *recording) note(how func(info *livekit.EgressInfo)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how(r.info)
}

// report changes what is known of it and tells livekit-server.
func (r *recording) report(how func(info *livekit.EgressInfo)) {
	r.note(func(info *livekit.EgressInfo) {
		how(info)
		r.service.reports.update(info)
	})
}

// befalls tells whether a fault happens to it.
func (r *recording) befalls(name string) (Fault, bool) {
	return r.service.faults.take(name, r.id())
}

// run is its whole life.
func (r *recording) run() {
	defer os.RemoveAll(r.directory)
	defer r.leave()
	r.note(func(info *livekit.EgressInfo) { info.StartedAt = time.Now().UnixNano() })
	err := r.attend()
	close(r.ready)
	if err == nil && r.order.output.fileType == livekit.EncodedFileType_MP4 {
		err = r.findEncoder()
	}
	if err != nil {
		r.leave()
		r.report(func(info *livekit.EgressInfo) { info.SetFailed(err) })
		close(r.settled)
		return
	}
	if why, isOver := r.awaitSound(); isOver {
		r.abort(why)
		return
	}
	r.activate()
	r.finish(<-r.endings)
}

// findEncoder fails where AAC can't be made; the service does not live on after that.
func (r *recording) findEncoder() error {
	if _, lacks := r.befalls("no_aac_encoder"); !lacks {
		return nil
	}
	r.service.goAway()
	return psrpc.NewErrorf(psrpc.Internal, "could not create element: faac")
}

// awaitSound returns at the first sound, or tells why there was none.
func (r *recording) awaitSound() (ending, bool) {
	sound := r.sound
	if _, isDeaf := r.befalls("never_active"); isDeaf {
		sound = nil
	}
	select {
	case <-sound:
	case why := <-r.endings:
		return why, true
	}
	fault, _ := r.befalls("slow_active")
	select {
	case <-time.After(seconds(fault.Seconds)):
		return ending{}, false
	case why := <-r.endings:
		return why, true
	}
}

func (r *recording) abort(why ending) {
	r.report(func(info *livekit.EgressInfo) {
		info.SetEndReason(why.reason)
		info.SetAborted(livekit.MsgStartNotReceived)
	})
	close(r.settled)
}

// activate says that it records.
func (r *recording) activate() {
	change := r.report
	if _, skips := r.befalls("skip_active"); skips {
		change = r.note
	}
	change(func(info *livekit.EgressInfo) {
		info.UpdateStatus(livekit.EgressStatus_EGRESS_ACTIVE)
		onFile(info, func(file *livekit.FileInfo) { file.StartedAt = r.soundAt.UnixNano() })
		r.isActive = true
	})
	r.looksForFaults()
}

// looksForFaults has it end by itself if it is to.
func (r *recording) looksForFaults() {
	r.mu.Lock()
	isActive := r.isActive
	r.mu.Unlock()
	if !isActive {
		return
	}
	if fault, befalls := r.service.faults.takeEarly(r.id()); befalls {
		flaw := flaws[fault.Name]
		time.AfterFunc(seconds(fault.Seconds), func() { r.end(ending{reason: flaw.reason, flaw: flaw}) })
	}
}

// finish says that it ends, makes the file, delivers it and says how that went.
func (r *recording) finish(why ending) {
	for _, name := range []string{"upload_failed", "unknown_status"} {
		if _, befalls := r.befalls(name); befalls {
			why.flaw = flaws[name]
		}
	}
	endedAt := time.Now().UnixNano()
	r.announce(why)
	r.leave()
	if why.flaw.takesAllDown {
		r.service.goAway()
	}
	switch {
	case why.flaw.isMute:
	case why.flaw.isDead:
		why.flaw.mark(r.order.info)
		r.service.reports.update(r.order.info)
	default:
		r.conclude(why, r.makeFile(why, endedAt))
	}
}

// announce says that it ends.
func (r *recording) announce(why ending) {
	defer close(r.settled)
	ends := func(info *livekit.EgressInfo) {
		info.SetEndReason(why.reason)
		info.UpdateStatus(livekit.EgressStatus_EGRESS_ENDING)
	}
	if why.flaw.isSudden {
		r.note(ends)
	} else {
		r.report(ends)
	}
}

// makeFile mixes and delivers what was recorded, and puts down where it is.
func (r *recording) makeFile(why ending, endedAt int64) error {
	r.note(func(info *livekit.EgressInfo) {
		onFile(info, func(file *livekit.FileInfo) {
			file.EndedAt = endedAt
			file.Duration = endedAt - file.StartedAt
		})
	})
	if why.flaw.isLost {
		return nil
	}
	known := r.shown().FileResults[0]
	file := filepath.Join(r.directory, "mix"+path.Ext(known.Filename))
	if err := mix(r.config.Mixer, r.job(known, file), r.directory); err != nil {
		return err
	}
	stat, err := os.Stat(file)
	if err != nil {
		return err
	}
	location, err := r.order.output.deliver(file, known.Filename)
	if err != nil {
		return err
	}
	if _, isHidden := r.befalls("no_location"); isHidden {
		location = ""
	}
	r.note(func(info *livekit.EgressInfo) {
		onFile(info, func(file *livekit.FileInfo) { file.Size, file.Location = stat.Size(), location })
	})
	return nil
}

func (r *recording) job(known *livekit.FileInfo, file string) job {
	work := job{StartedAt: known.StartedAt, EndedAt: known.EndedAt, File: file, Bitrate: r.order.bitrate, Video: r.order.video}
	if work.Bitrate == 0 {
		work.Bitrate = defaultBitrate
	}
	for _, spool := range r.spools {
		work.Tracks = append(work.Tracks, jobTrack{spool.path, channels[spool.channel]})
	}
	return work
}

// conclude reports the last state, and another one after it where a fault wants that.
func (r *recording) conclude(why ending, err error) {
	if err == nil {
		err = why.err
	}
	r.report(func(info *livekit.EgressInfo) {
		switch {
		case err != nil:
			info.SetFailed(err)
		case why.flaw.status != livekit.EgressStatus_EGRESS_STARTING:
			why.flaw.mark(info)
		default:
			info.SetComplete()
			r.leaveManifest(info)
		}
	})
	if _, again := r.befalls("ended_twice"); again {
		r.report(func(info *livekit.EgressInfo) {
			info.SetFailed(psrpc.NewErrorf(psrpc.Internal, "pipeline frozen"))
		})
	}
}

// leaveManifest puts the manifest beside the file, unless it was not wanted.
func (r *recording) leaveManifest(info *livekit.EgressInfo) {
	if r.order.output.disableManifest {
		return
	}
	filename := path.Join(path.Dir(info.FileResults[0].Filename), r.id()+".json")
	here := filepath.Join(r.directory, "manifest.json")
	if err := writeManifest(here, info); err != nil {
		return
	}
	if location, err := r.order.output.deliver(here, filename); err == nil {
		info.ManifestLocation = location
	}
}

// mark puts down that a recording ended with a flaw.
func (f flaw) mark(info *livekit.EgressInfo) {
	now := time.Now().UnixNano()
	info.Status, info.Error, info.ErrorCode = f.status, f.text, f.code
	info.UpdatedAt, info.EndedAt = now, now
}

// onFile changes the result, and its copy under the name that it used to have.
func onFile(info *livekit.EgressInfo, how func(file *livekit.FileInfo)) {
	how(info.FileResults[0])
	old := proto.Clone(info.FileResults[0]).(*livekit.FileInfo)
	info.Result = &livekit.EgressInfo_File{File: old}
}

// showFile begins the result: the name of the file, where it is known yet.
func (o *order) showFile(filename string) {
	o.info.FileResults = []*livekit.FileInfo{{Filename: filename}}
	onFile(o.info, func(*livekit.FileInfo) {})
}
