package main

import (
	"path"
	"strings"
	"time"

	"github.com/livekit/protocol/livekit"
)

const timeFormat = "2006-01-02T150405"

var extensions = map[livekit.EncodedFileType]string{
	livekit.EncodedFileType_MP4: ".mp4",
	livekit.EncodedFileType_OGG: ".ogg",
	livekit.EncodedFileType_MP3: ".mp3",
}

// filename fills in the template of the request; empty while the type of the file is not known.
//
// It is asked twice, as in the real one: when the request comes and when the recorder is in the
// room. {time} may have moved on between.
func (o *order) filename(identifier string, more map[string]string) string {
	now := time.Now()
	values := []string{
		"{room_name}", o.info.RoomName,
		"{room_id}", o.info.RoomId,
		"{time}", now.Format(timeFormat),
		"{utc}", strings.Replace(now.Format("20060102150405.000"), ".", "", 1),
	}
	for name, value := range more {
		values = append(values, name, value)
	}
	extension, isKnown := extensions[o.output.fileType]
	if !isKnown {
		return ""
	}
	filled := strings.NewReplacer(values...).Replace(cleaned(o.output.filepath))
	if filled == "" || strings.HasSuffix(filled, "/") {
		return filled + identifier + "-" + now.Format(timeFormat) + extension
	}
	return withExtension(filled, extension)
}

// cleaned keeps a template, but not what is put into it, from climbing out of its folder.
func cleaned(template string) string {
	clean := path.Clean(template)
	for strings.HasPrefix(clean, "../") {
		clean = clean[len("../"):]
	}
	switch {
	case clean == "." || clean == "..":
		return ""
	case strings.HasSuffix(template, "/") && clean != "/":
		return clean + "/"
	default:
		return clean
	}
}

// withExtension replaces an extension of another type and adds a missing one.
func withExtension(filename, extension string) string {
	for _, other := range extensions {
		if strings.HasSuffix(filename, other) {
			return strings.TrimSuffix(filename, other) + extension
		}
	}
	return filename + extension
}
