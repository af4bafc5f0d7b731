package main

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/livekit/protocol/egress"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// scope is what of a room is recorded, which also decides when the recording ends.
type scope int

const (
	wholeRoom scope = iota
	routedMedia
	oneParticipant
	someTracks
)

// order is a request, however it was put.
type order struct {
	info     *livekit.EgressInfo
	scope    scope
	identity string
	screen   bool
	trackID  string
	mixing   livekit.AudioMixing
	routes   []*livekit.AudioRoute
	bitrate  int32
	// video: the file has a picture, black as there is none.
	video  bool
	output output
}

// output is where the file goes.
type output struct {
	fileType        livekit.EncodedFileType
	filepath        string
	disableManifest bool
	s3              *livekit.S3Upload
	// asIs: the type of the file follows from the track, which is not known yet.
	asIs bool
}

func refused(code psrpc.ErrorCode, text string) error {
	return psrpc.NewErrorf(code, "%s", text)
}

func invalid(field string) error {
	return refused(psrpc.InvalidArgument, "request has missing or invalid field: "+field)
}

// newOrder understands a request, or says what is wrong with it in the real one's words.
func newOrder(request *rpc.StartEgressRequest) (*order, error) {
	now := time.Now().UnixNano()
	o := &order{info: &livekit.EgressInfo{
		EgressId:   request.EgressId,
		RoomId:     request.RoomId,
		SourceType: livekit.EgressSourceType_EGRESS_SOURCE_TYPE_SDK,
		StartedAt:  now,
		UpdatedAt:  now,
	}}
	var err error
	switch r := request.Request.(type) {
	case *rpc.StartEgressRequest_RoomComposite:
		err = o.readRoomComposite(r.RoomComposite)
	case *rpc.StartEgressRequest_Participant:
		err = o.readParticipant(r.Participant)
	case *rpc.StartEgressRequest_TrackComposite:
		err = o.readTrackComposite(r.TrackComposite)
	case *rpc.StartEgressRequest_Track:
		err = o.readTrack(r.Track)
	case *rpc.StartEgressRequest_Egress:
		err = o.readUnified(r.Egress)
	default:
		err = refused(psrpc.Unimplemented, "the stand-in takes no such request")
	}
	if err == nil {
		err = o.settleFileType()
	}
	if err != nil {
		return nil, err
	}
	o.showFile(o.filename(o.info.RoomName, nil))
	return o, nil
}

func (o *order) readRoomComposite(r *livekit.RoomCompositeEgressRequest) error {
	shown := proto.Clone(r).(*livekit.RoomCompositeEgressRequest)
	egress.RedactEncodedOutputs(shown)
	o.info.Request = &livekit.EgressInfo_RoomComposite{RoomComposite: shown}
	o.info.RoomName = r.RoomName
	o.scope = wholeRoom
	o.showSource(r)
	if o.info.SourceType == livekit.EgressSourceType_EGRESS_SOURCE_TYPE_SDK {
		o.mixing = r.AudioMixing
	}
	o.video = !r.AudioOnly
	o.bitrate = r.GetAdvanced().GetAudioBitrate()
	return o.readEncoded(r.FileOutputs, r.GetFile())
}

func (o *order) readParticipant(r *livekit.ParticipantEgressRequest) error {
	shown := proto.Clone(r).(*livekit.ParticipantEgressRequest)
	egress.RedactEncodedOutputs(shown)
	o.info.Request = &livekit.EgressInfo_Participant{Participant: shown}
	o.info.RoomName = r.RoomName
	o.scope, o.identity, o.screen = oneParticipant, r.Identity, r.ScreenShare
	o.video = true
	o.bitrate = r.GetAdvanced().GetAudioBitrate()
	if r.Identity == "" {
		return invalid("identity")
	}
	return o.readEncoded(r.FileOutputs, nil)
}

func (o *order) readTrackComposite(r *livekit.TrackCompositeEgressRequest) error {
	shown := proto.Clone(r).(*livekit.TrackCompositeEgressRequest)
	egress.RedactEncodedOutputs(shown)
	o.info.Request = &livekit.EgressInfo_TrackComposite{TrackComposite: shown}
	o.info.RoomName = r.RoomName
	o.scope, o.trackID = someTracks, r.AudioTrackId
	o.bitrate = r.GetAdvanced().GetAudioBitrate()
	if r.AudioTrackId == "" {
		return invalid("audio_track_id or video_track_id")
	}
	return o.readEncoded(r.FileOutputs, r.GetFile())
}

func (o *order) readTrack(r *livekit.TrackEgressRequest) error {
	shown := proto.Clone(r).(*livekit.TrackEgressRequest)
	egress.RedactDirectOutputs(shown)
	o.info.Request = &livekit.EgressInfo_Track{Track: shown}
	o.info.RoomName = r.RoomName
	o.scope, o.trackID = someTracks, r.TrackId
	file := r.GetFile()
	if r.TrackId == "" {
		return invalid("track_id")
	}
	if file == nil {
		return refused(psrpc.Unimplemented, "the stand-in writes files only")
	}
	o.output = output{filepath: file.Filepath, disableManifest: file.DisableManifest, s3: file.GetS3(), asIs: true}
	return nil
}

func (o *order) readUnified(r *livekit.StartEgressRequest) error {
	shown := proto.Clone(r).(*livekit.StartEgressRequest)
	egress.RedactStartEgressRequest(shown)
	o.info.Request = &livekit.EgressInfo_Egress{Egress: shown}
	o.info.RoomName = r.RoomName
	o.bitrate = r.GetAdvanced().GetAudioBitrate()
	switch source := r.Source.(type) {
	case *livekit.StartEgressRequest_Template:
		o.scope, o.video = wholeRoom, !source.Template.AudioOnly
		o.showSource(source.Template)
	case *livekit.StartEgressRequest_Media:
		audio := source.Media.Audio
		o.scope, o.video = routedMedia, source.Media.Video != nil
		// The real one leaves routes out of account where all is captured.
		if o.routes = audio.GetRoutes(); audio.GetCaptureAll() {
			o.scope, o.routes = wholeRoom, nil
		} else if len(o.routes) == 0 {
			return invalid("audio or video")
		}
	default:
		return invalid("source")
	}
	for _, out := range r.Outputs {
		if file := out.GetFile(); file != nil {
			o.output = output{fileType: file.FileType, filepath: file.Filepath, disableManifest: file.DisableManifest, s3: r.GetStorage().GetS3()}
			if out.Storage != nil {
				o.output.s3 = out.Storage.GetS3()
			}
			return nil
		}
	}
	return invalid("outputs")
}

func (o *order) readEncoded(files []*livekit.EncodedFileOutput, file *livekit.EncodedFileOutput) error {
	if len(files) > 0 {
		file = files[0]
	}
	if file == nil {
		return refused(psrpc.Unimplemented, "the stand-in writes files only")
	}
	o.output = output{fileType: file.FileType, filepath: file.Filepath, disableManifest: file.DisableManifest, s3: file.GetS3()}
	return nil
}

// showSource tells whether the real one would have started a browser.
func (o *order) showSource(template interface {
	GetAudioOnly() bool
	GetLayout() string
	GetCustomBaseUrl() string
}) {
	if !template.GetAudioOnly() || template.GetLayout() != "" || template.GetCustomBaseUrl() != "" {
		o.info.SourceType = livekit.EgressSourceType_EGRESS_SOURCE_TYPE_WEB
	}
}

func (o *order) settleFileType() error {
	switch {
	case o.output.asIs:
		return nil
	case o.output.fileType == livekit.EncodedFileType_DEFAULT_FILETYPE && o.video:
		o.output.fileType = livekit.EncodedFileType_MP4
	case o.output.fileType == livekit.EncodedFileType_DEFAULT_FILETYPE:
		o.output.fileType = livekit.EncodedFileType_OGG
	case o.video && o.output.fileType != livekit.EncodedFileType_MP4:
		return refused(psrpc.InvalidArgument, "no supported codec is compatible with all outputs")
	}
	return nil
}

// wants tells whether a track is to be recorded.
func (o *order) wants(track lksdk.TrackPublication, speaker lksdk.Participant) bool {
	if track.Kind() != lksdk.TrackKindAudio {
		return false
	}
	switch o.scope {
	case oneParticipant:
		isScreen := track.Source() != livekit.TrackSource_MICROPHONE && track.Source() != livekit.TrackSource_CAMERA
		return speaker.Identity() == o.identity && isScreen == o.screen
	case someTracks:
		return track.SID() == o.trackID
	case routedMedia:
		return o.route(track, speaker) != nil
	default:
		return true
	}
}

// route is the first one that a track matches.
func (o *order) route(track lksdk.TrackPublication, speaker lksdk.Participant) *livekit.AudioRoute {
	for _, route := range o.routes {
		switch match := route.Match.(type) {
		case *livekit.AudioRoute_TrackId:
			if match.TrackId == track.SID() {
				return route
			}
		case *livekit.AudioRoute_ParticipantIdentity:
			if match.ParticipantIdentity == speaker.Identity() {
				return route
			}
		case *livekit.AudioRoute_ParticipantKind:
			if lksdk.ParticipantKind(match.ParticipantKind) == speaker.Kind() {
				return route
			}
		}
	}
	return nil
}

// channel is where a track is heard; count is how many came before it.
func (o *order) channel(track lksdk.TrackPublication, speaker lksdk.Participant, count int) livekit.AudioChannel {
	if route := o.route(track, speaker); route != nil {
		return route.Channel
	}
	isLeft := false
	switch o.mixing {
	case livekit.AudioMixing_DUAL_CHANNEL_AGENT:
		isLeft = speaker.Kind() == lksdk.ParticipantAgent
	case livekit.AudioMixing_DUAL_CHANNEL_ALTERNATE:
		isLeft = count%2 == 0
	default:
		return livekit.AudioChannel_AUDIO_CHANNEL_BOTH
	}
	if isLeft {
		return livekit.AudioChannel_AUDIO_CHANNEL_LEFT
	}
	return livekit.AudioChannel_AUDIO_CHANNEL_RIGHT
}
