package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

const lookAgain = 100 * time.Millisecond

var channels = map[livekit.AudioChannel]string{
	livekit.AudioChannel_AUDIO_CHANNEL_BOTH:  "both",
	livekit.AudioChannel_AUDIO_CHANNEL_LEFT:  "left",
	livekit.AudioChannel_AUDIO_CHANNEL_RIGHT: "right",
}

// attend enters the room, waits for those who are asked for by name, and listens.
func (r *recording) attend() error {
	if err := os.MkdirAll(r.directory, 0o700); err != nil {
		return err
	}
	if err := r.join(); err != nil {
		return err
	}
	if err := r.awaitNamed(time.Now().Add(seconds(r.config.WaitSeconds))); err != nil {
		return err
	}
	r.nameFile()
	return nil
}

func (r *recording) join() error {
	token, err := egress.BuildEgressToken(r.id(), r.config.APIKey, r.config.APISecret, r.order.info.RoomName)
	if err != nil {
		return err
	}
	room := lksdk.NewRoom(r.callbacks())
	if err := room.JoinWithToken(r.config.WsURL, token, lksdk.WithAutoSubscribe(false)); err != nil {
		return psrpc.NewError(psrpc.Unavailable, err)
	}
	r.mu.Lock()
	r.room = room
	r.mu.Unlock()
	r.eachTrack(func(track *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) bool {
		r.subscribe(track, speaker)
		return true
	})
	return nil
}

func (r *recording) callbacks() *lksdk.RoomCallback {
	callbacks := lksdk.NewRoomCallback()
	callbacks.OnTrackPublished = r.subscribe
	callbacks.OnTrackSubscribed = r.listen
	callbacks.OnTrackUnsubscribed = func(*webrtc.TrackRemote, *lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) {
		if r.order.scope == someTracks {
			r.end(ending{reason: livekit.EndReasonSrcClosed})
		}
	}
	callbacks.OnParticipantDisconnected = func(speaker *lksdk.RemoteParticipant) {
		if r.order.scope == oneParticipant && speaker.Identity() == r.order.identity {
			r.end(ending{reason: livekit.EndReasonSrcClosed})
		}
	}
	callbacks.OnDisconnectedWithReason = func(reason lksdk.DisconnectionReason) {
		why := ending{reason: livekit.EndReasonSrcClosed}
		if reason == lksdk.Failed {
			why.err = psrpc.NewErrorf(psrpc.Unavailable, connectionLost)
		}
		r.end(why)
	}
	return callbacks
}

func (r *recording) subscribe(track *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) {
	if r.order.wants(track, speaker) && !track.IsSubscribed() {
		_ = track.SetSubscribed(true)
	}
}

// listen keeps the packets of a track until it ends.
func (r *recording) listen(track *webrtc.TrackRemote, publication *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) {
	spool, err := r.openSpool(publication, speaker)
	if err != nil || spool == nil {
		return
	}
	go func() {
		defer r.listeners.Done()
		defer spool.close()
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			// Packets without sound only probe the way.
			if at := time.Now(); len(packet.Payload) > 0 {
				spool.add(packet, at)
				r.heard(at)
			}
		}
	}()
}

// openSpool makes a place for a track's packets; none when we are about to leave.
func (r *recording) openSpool(track *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) (*spool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hasLeft {
		return nil, nil
	}
	name := fmt.Sprintf("%d.packets", len(r.spools))
	channel := r.order.channel(track, speaker, len(r.spools))
	spool, err := newSpool(filepath.Join(r.directory, name), channel)
	if err == nil {
		r.spools = append(r.spools, spool)
		r.listeners.Add(1)
	}
	return spool, err
}

// trackCount is how many tracks it has heard.
func (r *recording) trackCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spools)
}

// heard notes the first sound of all.
func (r *recording) heard(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.soundAt.IsZero() {
		r.soundAt = at
		close(r.sound)
	}
}

// leave leaves the room; all that was heard is in the spools then.
func (r *recording) leave() {
	r.mu.Lock()
	room := r.room
	r.room, r.hasLeft = nil, true
	r.mu.Unlock()
	if room != nil {
		room.Disconnect()
	}
	r.listeners.Wait()
}

// awaitNamed waits for participants and tracks that the request names. A track has to be heard, too.
func (r *recording) awaitNamed(deadline time.Time) error {
	for _, identity := range r.order.identities() {
		if !until(deadline, func() bool { return r.present(identity) }) {
			return psrpc.NewErrorf(psrpc.NotFound, "participant %s not found", identity)
		}
	}
	for _, id := range r.order.trackIDs() {
		if !until(deadline, func() bool { return r.find(id) != nil }) {
			return psrpc.NewErrorf(psrpc.NotFound, "track %s not found", id)
		}
	}
	if r.order.scope != someTracks {
		return nil
	}
	select {
	case <-r.sound:
		return nil
	case <-time.After(time.Until(deadline)):
		return psrpc.NewErrorf(psrpc.NotFound, "track %s not found", r.order.trackID)
	}
}

func until(deadline time.Time, isSo func() bool) bool {
	for !isSo() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(lookAgain)
	}
	return true
}

func (r *recording) present(identity string) bool {
	return r.room.GetParticipantByIdentity(identity) != nil
}

// find is the track of an id and who publishes it.
func (r *recording) find(id string) (found *lksdk.RemoteTrackPublication) {
	r.eachTrack(func(track *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) bool {
		if track.SID() == id {
			found = track
		}
		return found == nil
	})
	return found
}

// eachTrack visits what is published in the room, until it is told to stop.
func (r *recording) eachTrack(visit func(track *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) bool) {
	for _, speaker := range r.room.GetRemoteParticipants() {
		for _, publication := range speaker.TrackPublications() {
			track, isRemote := publication.(*lksdk.RemoteTrackPublication)
			if isRemote && !visit(track, speaker) {
				return
			}
		}
	}
}

// nameFile settles the name of the file, with what is known now that we are in the room.
func (r *recording) nameFile() {
	identifier, values := r.order.info.RoomName, map[string]string{}
	switch {
	case r.order.scope == oneParticipant:
		identifier = r.order.identity
		values["{publisher_identity}"] = r.order.identity
	case r.order.scope == someTracks:
		identifier = r.describeTrack(values)
	}
	filename := r.order.filename(identifier, values)
	r.note(func(info *livekit.EgressInfo) {
		onFile(info, func(file *livekit.FileInfo) { file.Filename = filename })
	})
}

// describeTrack puts down the values that name a track; only a recording as it is has all of them.
func (r *recording) describeTrack(values map[string]string) string {
	identifier := r.order.info.RoomName
	r.eachTrack(func(track *lksdk.RemoteTrackPublication, speaker *lksdk.RemoteParticipant) bool {
		if track.SID() != r.order.trackID {
			return true
		}
		values["{publisher_identity}"] = speaker.Identity()
		if r.order.output.asIs {
			identifier = track.SID()
			values["{track_id}"] = track.SID()
			values["{track_type}"] = string(track.Kind())
			values["{track_source}"] = strings.ToLower(track.Source().String())
			r.order.output.fileType = livekit.EncodedFileType_OGG
		}
		return false
	})
	return identifier
}

// identities are those whom a request names.
func (o *order) identities() (names []string) {
	if o.identity != "" {
		names = append(names, o.identity)
	}
	for _, route := range o.routes {
		if name := route.GetParticipantIdentity(); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// trackIDs are those that a request names.
func (o *order) trackIDs() (ids []string) {
	if o.trackID != "" {
		ids = append(ids, o.trackID)
	}
	for _, route := range o.routes {
		if id := route.GetTrackId(); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
