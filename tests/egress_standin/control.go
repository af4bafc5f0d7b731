package main

import (
	"encoding/json"
	"net/http"
)

// control takes commands as JSON.
//
//	GET  /           which recordings there are, in which status, and how many tracks they hear
//	POST /misbehave  a Fault
//	POST /well       no faults any more
func control(s *service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(answer http.ResponseWriter, _ *http.Request) {
		recordings := map[string]any{}
		for _, r := range s.all() {
			recordings[r.id()] = map[string]any{"status": r.shown().Status.String(), "tracks": r.trackCount()}
		}
		_ = json.NewEncoder(answer).Encode(map[string]any{"recordings": recordings})
	})
	mux.HandleFunc("POST /misbehave", func(answer http.ResponseWriter, request *http.Request) {
		var fault Fault
		err := json.NewDecoder(request.Body).Decode(&fault)
		if err == nil {
			err = s.misbehave(fault)
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /well", func(http.ResponseWriter, *http.Request) { s.faults.clear() })
	return mux
}
