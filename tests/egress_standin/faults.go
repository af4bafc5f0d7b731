package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/livekit/protocol/livekit"
)

// Fault is something that is to go wrong.
type Fault struct {
	Name string `json:"name"`
	// Times is how many recordings it happens to; 0: all, until the service is told to be well.
	Times int `json:"times"`
	// Seconds is how long it takes, for those faults that are a delay.
	Seconds float64 `json:"seconds"`
}

// known is every fault with what it looks like from outside.
var known = map[string]string{
	"absent":          "does not bid: 503 after 20 s",
	"refuse":          "takes the request and refuses it: not enough CPU",
	"slow_start":      "answers after some seconds",
	"no_answer":       "never answers, and starts after some seconds all the same",
	"slow_active":     "is ACTIVE some seconds after the first sound",
	"skip_active":     "records, but never says ACTIVE",
	"never_active":    "hears nothing: STARTING until the end, then ABORTED",
	"no_aac_encoder":  "an MP4 is FAILED at the start; the whole service is absent from then on",
	"limit_reached":   "LIMIT_REACHED some seconds after ACTIVE, with a file",
	"connection_lost": "FAILED 503 some seconds after ACTIVE, with a file",
	"pipeline_error":  "FAILED 500 some seconds after ACTIVE, without a file; the service is absent from then on",
	"handler_killed":  "FAILED 500 some seconds after ACTIVE, without a file",
	"silent":          "ACTIVE for ever, and no answer to anything; the recorder leaves the room",
	"upload_failed":   "FAILED 400 at the end: the file can't be delivered",
	"no_location":     "COMPLETE, but nobody says where the file is",
	"ended_twice":     "COMPLETE, then FAILED",
	"unknown_status":  "ends with a status that nobody knows, and without a webhook",
}

// flaw is how a recording ends that does not end well.
type flaw struct {
	status livekit.EgressStatus
	reason string
	text   string
	code   int32
	// isEarly: it ends by itself, some seconds after ACTIVE.
	isEarly bool
	// isSudden: ENDING is not reported.
	isSudden bool
	// isLost: there is no file.
	isLost bool
	// isDead: the process that recorded is gone; somebody else reports what it knew at the start.
	isDead bool
	// isMute: nothing is reported.
	isMute bool
	// takesAllDown: the service answers no more requests.
	takesAllDown bool
}

// unknownStatus is one that no version of LiveKit has.
const unknownStatus = livekit.EgressStatus(17)

var flaws = map[string]flaw{
	"limit_reached":   {status: livekit.EgressStatus_EGRESS_LIMIT_REACHED, reason: livekit.EndReasonLimitReached, text: livekit.MsgLimitReached, code: http.StatusRequestEntityTooLarge, isEarly: true, isSudden: true},
	"connection_lost": {status: livekit.EgressStatus_EGRESS_FAILED, reason: livekit.EndReasonSrcClosed, text: connectionLost, code: http.StatusServiceUnavailable, isEarly: true},
	"pipeline_error":  {status: livekit.EgressStatus_EGRESS_FAILED, reason: livekit.EndReasonFailure, text: "pipeline frozen", code: http.StatusInternalServerError, isEarly: true, isSudden: true, isLost: true, takesAllDown: true},
	"handler_killed":  {status: livekit.EgressStatus_EGRESS_FAILED, text: "signal: killed", code: http.StatusInternalServerError, isEarly: true, isSudden: true, isLost: true, isDead: true},
	"silent":          {isEarly: true, isSudden: true, isLost: true, isMute: true, takesAllDown: true},
	"upload_failed":   {status: livekit.EgressStatus_EGRESS_FAILED, text: "Local upload failed: no space left on device", code: http.StatusBadRequest, isLost: true},
	"unknown_status":  {status: unknownStatus},
}

// faults are those that are to happen.
type faults struct {
	mu sync.Mutex
	// left counts how often each may still happen; below 0: always.
	left   map[string]int
	params map[string]Fault
	// taken: whom it befell once it befalls again, such as a request that is repeated.
	taken map[string]bool
}

func newFaults() *faults {
	f := &faults{}
	f.clear()
	return f
}

func (f *faults) set(fault Fault) error {
	if known[fault.Name] == "" {
		names := slices.Sorted(maps.Keys(known))
		return fmt.Errorf("no fault %q; there are %s", fault.Name, strings.Join(names, ", "))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.params[fault.Name] = fault
	f.left[fault.Name] = fault.Times
	if fault.Times == 0 {
		f.left[fault.Name] = -1
	}
	return nil
}

// clear has all be well from now on.
func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.params, f.taken = map[string]int{}, map[string]Fault{}, map[string]bool{}
}

// take tells whether a fault befalls a recording.
func (f *faults) take(name, id string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := name + " " + id
	switch {
	case f.taken[key]:
	case f.left[name] == 0:
		return Fault{}, false
	default:
		f.left[name]--
		f.taken[key] = true
	}
	return f.params[name], true
}

// takeEarly is the first fault that ends a recording by itself, if one does.
func (f *faults) takeEarly(id string) (Fault, bool) {
	for name, flaw := range flaws {
		if flaw.isEarly {
			if fault, befalls := f.take(name, id); befalls {
				return fault, true
			}
		}
	}
	return Fault{}, false
}
