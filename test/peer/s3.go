package peer

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const s3Tool = "github.com/versity/versitygw/cmd/versitygw"

// S3Server is a running server that speaks S3, with one bucket.
type S3Server struct {
	// Endpoint is its address ("http://host:port"); the bucket is the first element of a path there.
	Endpoint, Region, Bucket string
	AccessKey, SecretKey     string

	dir  string // the bucket
	proc *process
}

// S3 starts Versity's S3 gateway over a folder. Its module is apart from the main one, in tools/s3, and the build cache
// keeps it.
func S3(t testing.TB) *S3Server {
	t.Helper()
	dir := t.TempDir()
	s := &S3Server{
		Endpoint: "http://" + loopback(FreePort(t)), Region: "us-east-1", Bucket: "challenges",
		AccessKey: rand.Text(), SecretKey: rand.Text(),
		dir: filepath.Join(dir, "buckets", "challenges"),
	}
	// A folder there is a bucket. What is not in a file goes beside it, for not every file system has attributes.
	sidecar := filepath.Join(dir, "sidecar")
	for _, d := range []string{s.dir, sidecar} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	addr := strings.TrimPrefix(s.Endpoint, "http://")
	cmd := exec.Command(s3Binary(t), "--port", addr, "--region", s.Region, "posix", "--sidecar", sidecar, filepath.Dir(s.dir))
	cmd.Dir = dir
	cmd.Env = []string{"ROOT_ACCESS_KEY_ID=" + s.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + s.SecretKey, "HOME=" + dir}
	s.proc = launch(t, "versitygw", cmd)
	err := s.proc.ready(func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// s3Binary builds the gateway at the version in tools/s3/go.mod.
func s3Binary(t testing.TB) string {
	t.Helper()
	goTool := Need(t, "go", "the Go tool chain builds the S3 server")
	main, err := exec.CommandContext(t.Context(), goTool, "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	modfile := filepath.Join(filepath.Dir(strings.TrimSpace(string(main))), "tools", "s3", "go.mod")
	cmd := exec.CommandContext(t.Context(), goTool, "tool", "-modfile="+modfile, "-n", s3Tool)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		// The main module's own download does not bring its modules.
		Missing(t, "needs an S3 server: go tool -modfile=tools/s3/go.mod -n versitygw: %v\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// Env returns the variables that lead the AWS SDK to it.
func (s *S3Server) Env() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": s.Endpoint, "AWS_REGION": s.Region,
		"AWS_ACCESS_KEY_ID": s.AccessKey, "AWS_SECRET_ACCESS_KEY": s.SecretKey,
		"AWS_EC2_METADATA_DISABLED": "true",
	}
}

// Objects returns the bodies of the objects in the bucket by key.
func (s *S3Server) Objects(t testing.TB) map[string]string {
	t.Helper()
	objects := map[string]string{}
	err := fs.WalkDir(os.DirFS(s.dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(filepath.Join(s.dir, path))
		objects[path] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// Log returns the end of what the server wrote.
func (s *S3Server) Log() string { return s.proc.log.String() }
