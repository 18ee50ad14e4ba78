package capython

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// python is Debian's, which has the libraries; another one in the PATH may not.
const python = "/usr/bin/python3"

func TestConformance(t *testing.T) {
	needPython(t)
	report := plugintest.Test(t, plugintest.Options{
		Path: "ca_python.py",
		Env:  []string{"PYTHONDONTWRITEBYTECODE=1"},
		Settings: pluginapi.Settings{
			Values:  map[string]any{"dir": filepath.Join(t.TempDir(), "ca")},
			Secrets: map[string]pluginapi.Secret{"token": pluginapi.NewSecret("t-2718281828")},
		},
		Identifiers: []pluginapi.Identifier{
			{Value: "python.example.com", Type: pluginapi.DNS},
			{Value: "*.python.example.com", Type: pluginapi.DNS},
			{Value: "2001:db8::7", Type: pluginapi.IP},
		},
		CallTimeout: time.Minute,
	})
	offers := []string{"preflight", "check-orders", "inspect-order", "certificate", "follow-up"} // what this small plugin leaves out
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip && !slices.Contains(offers, c.Name) {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func needPython(t *testing.T) {
	t.Helper()
	probe := exec.CommandContext(t.Context(), python, "-c", "import grpc, cryptography, google.protobuf")
	if out, err := probe.CombinedOutput(); err != nil {
		const words = "Debian's python3-grpcio, python3-protobuf and python3-cryptography are needed: %v %s"
		if os.Getenv("CI") == "true" {
			t.Fatalf(words, err, out)
		}
		t.Skipf("SKIP: "+words, err, out)
	}
}

// TestGeneratedCodeIsCurrent holds that the committed Python code is that of the contract as it stands.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	needPython(t)
	for module, file := range map[string]protoreflect.FileDescriptor{
		"common_pb2": pb.File_certbridge_plugin_v1_common_proto,
		"ca_pb2":     pb.File_certbridge_plugin_v1_ca_proto,
	} {
		script := "import sys; sys.path.insert(0, 'gen'); from certbridge.plugin.v1 import " + module +
			"; sys.stdout.buffer.write(" + module + ".DESCRIPTOR.serialized_pb)"
		cmd := exec.CommandContext(t.Context(), python, "-B", "-c", script)
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", module, err)
		}
		var have descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(text, &have); err != nil {
			t.Fatal(err)
		}
		want := protodesc.ToFileDescriptorProto(file)
		for _, m := range want.GetMessageType() {
			dropJSONNames(m)
		}
		if !proto.Equal(&have, want) {
			t.Errorf("%s is not made of the contract as it stands; run generate.sh", module)
		}
	}
}

// dropJSONNames takes out what protoc leaves out of Python code.
func dropJSONNames(m *descriptorpb.DescriptorProto) {
	for _, f := range m.GetField() {
		f.JsonName = nil
	}
	for _, nested := range m.GetNestedType() {
		dropJSONNames(nested)
	}
}
