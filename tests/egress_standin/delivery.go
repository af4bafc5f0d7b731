package main

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
)

// defaultBitrate is LiveKit's, in kbit/s.
const defaultBitrate = 128

// job is what the mixer is told.
type job struct {
	Tracks    []jobTrack `json:"tracks"`
	StartedAt int64      `json:"started_at"`
	EndedAt   int64      `json:"ended_at"`
	File      string     `json:"file"`
	Bitrate   int32      `json:"bitrate"`
	Video     bool       `json:"video"`
}

type jobTrack struct {
	Packets string `json:"packets"`
	Channel string `json:"channel"`
}

// mix makes a file of what was recorded.
func mix(command []string, work job, directory string) error {
	text, err := json.Marshal(work)
	if err != nil {
		return err
	}
	description := filepath.Join(directory, "job.json")
	if err := os.WriteFile(description, text, 0o600); err != nil {
		return err
	}
	mixer := exec.Command(command[0], append(command[1:], description)...)
	if output, err := mixer.CombinedOutput(); err != nil {
		return psrpc.NewErrorf(psrpc.Internal, "mixer: %v: %s", err, output)
	}
	return nil
}

// deliver puts a file where the request wants it, and tells where that is.
func (o *output) deliver(file, filename string) (string, error) {
	if o.s3 != nil {
		location, err := upload(o.s3, file, filename)
		return location, uploadFailed("S3", err)
	}
	return filename, uploadFailed("Local", copyTo(file, filename))
}

func uploadFailed(kind string, err error) error {
	if err == nil {
		return nil
	}
	return psrpc.NewErrorf(psrpc.InvalidArgument, "%s upload failed: %w", kind, err)
}

func copyTo(file, filename string) error {
	if directory, _ := path.Split(filename); directory != "" {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(filename)
	if err != nil {
		return err
	}
	if _, err = io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

func upload(to *livekit.S3Upload, file, key string) (string, error) {
	endpoint := to.Endpoint
	if endpoint == "" {
		endpoint = "s3.amazonaws.com"
	}
	host, isSecure := endpoint, true
	if address, err := url.Parse(endpoint); err == nil && address.Host != "" {
		host, isSecure = address.Host, address.Scheme == "https"
	}
	lookup := minio.BucketLookupDNS
	if to.ForcePathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(host, &minio.Options{
		Creds:        credentials.NewStaticV4(to.AccessKey, to.Secret, to.SessionToken),
		Secure:       isSecure,
		Region:       to.Region,
		BucketLookup: lookup,
	})
	if err != nil {
		return "", err
	}
	_, err = client.FPutObject(context.Background(), to.Bucket, key, file, minio.PutObjectOptions{UserMetadata: to.Metadata})
	return location(to, host, key), err
}

// location is what LiveKit Egress says where an object is: https always, with the path encoded.
func location(to *livekit.S3Upload, host, key string) string {
	where := url.URL{Scheme: "https", Host: host, Path: "/" + to.Bucket + "/" + key}
	if !to.ForcePathStyle {
		where.Host, where.Path = to.Bucket+"."+host, "/"+key
	}
	return where.String()
}

// manifest is the small file that lies beside a recording.
type manifest struct {
	EgressID  string         `json:"egress_id"`
	RoomID    string         `json:"room_id"`
	RoomName  string         `json:"room_name"`
	StartedAt int64          `json:"started_at"`
	EndedAt   int64          `json:"ended_at"`
	Files     []manifestFile `json:"files"`
}

type manifestFile struct {
	Filename string `json:"filename"`
	Location string `json:"location"`
}

func writeManifest(path string, info *livekit.EgressInfo) error {
	file := info.FileResults[0]
	text, err := json.Marshal(manifest{
		info.EgressId, info.RoomId, info.RoomName, info.StartedAt, info.EndedAt,
		[]manifestFile{{file.Filename, file.Location}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
