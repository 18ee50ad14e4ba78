package pluginhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// behaviourEnv tells the plugin how to misbehave from its start.
const behaviourEnv = "BEHAVIOUR"

// servePlugin is the plugin of the tests.
func servePlugin() {
	switch os.Getenv(behaviourEnv) {
	case "crash-at-start":
		fmt.Fprintln(os.Stderr, "panic: cannot even begin")
		os.Exit(3)
	case "garbage":
		fmt.Println("Hello, I am not the handshake you are looking for")
		time.Sleep(time.Hour)
	case "garbage-flood":
		line := []byte(strings.Repeat("x", 1<<20))
		for {
			_, _ = os.Stdout.Write(line)
		}
	case "wrong-protocol":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "net-rpc":
		fmt.Println("1|1|tcp|127.0.0.1:1|netrpc|")
		time.Sleep(time.Hour)
	case "foreign-socket":
		fmt.Println("1|1|unix|/run/somebody-else.sock|grpc|")
		time.Sleep(time.Hour)
	case "silent":
		time.Sleep(time.Hour)
	case "crash-after-handshake":
		fmt.Printf("1|1|tcp|127.0.0.1:1|grpc|\n")
		os.Exit(4)
	case "stubborn":
		wire.ServeCA(&fakeCA{})
		time.Sleep(time.Hour)
	case "dcv":
		wire.ServeDCV(fakeDCV{})
		return
	}
	if strings.Contains(os.Args[0], "/dcv-") {
		wire.ServeDCV(fakeDCV{})
		return
	}
	wire.ServeCA(&fakeCA{})
}

// fakeCA does what an order's certificate name says.
type fakeCA struct{ settings pluginapi.Settings }

func (c *fakeCA) Describe(context.Context) (pluginapi.Description, error) {
	if os.Getenv(behaviourEnv) == "hang-in-describe" {
		select {}
	}
	return pluginapi.Description{
		Name: "test", Version: "1.2.3", ChallengeTypes: []pluginapi.ChallengeType{pluginapi.ChallengeHTTP},
		Abilities: []pluginapi.Ability{pluginapi.AbilityRenew},
	}, nil
}

func (c *fakeCA) Configure(_ context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	c.settings = account.Settings
	var findings []pluginapi.Finding
	if s, ok := account.Settings.Values["fault"].(string); ok {
		findings = append(findings, pluginapi.Finding{Severity: pluginapi.Fault, Field: "fault", Message: s + account.Settings.Secret("key").Reveal()})
	}
	switch os.Getenv(behaviourEnv) {
	case "crash-in-configure":
		os.Exit(5)
	case "state":
		return pluginapi.Configured{AccountState: append(account.State, []byte("c")...), Findings: findings}, nil
	}
	return pluginapi.Configured{Findings: findings, AccountURI: "https://ca.example/acct/" + account.Settings.Secret("key").Reveal()}, nil
}

func (c *fakeCA) do(ctx context.Context, command string) (pluginapi.OrderReply, error) {
	name, arg, _ := strings.Cut(command, ":")
	reply := func(detail string) (pluginapi.OrderReply, error) {
		return pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.Processing, Detail: detail}}, nil
	}
	switch name {
	case "crash":
		// As the runtime does: go-plugin replaces os.Stderr by a stream that is lost with the process.
		_, _ = syscall.Write(2, []byte("panic: as told\n\ngoroutine 1:\nmain.main()\n"))
		os.Exit(7)
	case "exit0":
		os.Exit(0)
	case "hang":
		if arg != "" { // tells that the call has arrived
			_ = os.WriteFile(arg, nil, 0o600)
		}
		select {}
	case "wait":
		<-ctx.Done()
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.UnknownOutcome, "gave up in time")
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // the signal may take a moment
	case "sleep":
		d, _ := time.ParseDuration(arg)
		time.Sleep(d)
		return reply(strconv.Itoa(os.Getpid()))
	case "env":
		return reply(strings.Join(os.Environ(), ";;"))
	case "log":
		fmt.Fprintln(os.Stderr, "streamed", arg)
		_, _ = syscall.Write(2, []byte("direct "+arg+"\n"))
		fmt.Println("printed", arg)
		return reply("")
	case "error":
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.Rejected, "%s", arg)
	case "lie":
		return pluginapi.OrderReply{Order: pluginapi.Order{Reference: "r", Status: pluginapi.Issued}}, nil // without a chain
	case "state":
		r, _ := reply("")
		r.AccountState = []byte(arg)
		return r, nil
	case "hog":
		var hoard [][]byte
		for range 256 { // 4 GiB in all
			block := make([]byte, 16<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			hoard = append(hoard, block)
			time.Sleep(10 * time.Millisecond)
		}
		return reply(strconv.Itoa(len(hoard)))
	case "spawn":
		child := exec.Command("/bin/sleep", "3600")
		if arg == "flee" {
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		child.Stdout, child.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr")
		if err := child.Start(); err != nil {
			return pluginapi.OrderReply{}, err
		}
		return reply(strconv.Itoa(child.Process.Pid))
	case "peek":
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", os.Getppid()))
		if err != nil {
			return reply("not readable")
		}
		return reply("readable, " + strconv.Itoa(len(text)) + " bytes")
	case "oom":
		text, err := os.ReadFile("/proc/self/oom_score_adj")
		if err != nil {
			return pluginapi.OrderReply{}, err
		}
		return reply(strings.TrimSpace(string(text)))
	case "name":
		text, err := os.ReadFile("/proc/self/comm")
		if err != nil {
			return pluginapi.OrderReply{}, err
		}
		return reply(strings.TrimSpace(string(text)))
	case "group":
		pgid, err := syscall.Getpgid(0)
		if err != nil {
			return pluginapi.OrderReply{}, err
		}
		return reply(strconv.Itoa(pgid))
	}
	return reply(strconv.Itoa(os.Getpid()))
}

func (c *fakeCA) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	return c.do(ctx, order.CertificateName)
}

func (c *fakeCA) GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	return c.do(ctx, order.CertificateName)
}

func (c *fakeCA) RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, _ []string) (pluginapi.OrderReply, error) {
	return c.do(ctx, order.CertificateName)
}

// fakeDCV publishes nothing and says where it would have.
type fakeDCV struct{}

func (fakeDCV) Describe(context.Context) (pluginapi.DCVDescription, error) {
	return pluginapi.DCVDescription{Name: "test", Version: "0.1.0"}, nil
}

func (fakeDCV) Configure(context.Context, pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishTXT}, Sequential: true}, nil
}

func (fakeDCV) Publish(_ context.Context, challenge pluginapi.Challenge) ([]byte, error) {
	return []byte(challenge.DNS.Name + os.Getenv("TOKEN")), nil
}

func (fakeDCV) Withdraw(_ context.Context, _ pluginapi.Challenge, receipt []byte) error {
	if string(receipt) != "_dnsauth.example.comt0ken-of-dns" {
		return pluginapi.Errorf(pluginapi.NotFound, "receipt %s", receipt)
	}
	return nil
}
