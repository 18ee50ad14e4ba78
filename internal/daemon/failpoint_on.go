//go:build failpoint

package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/certbridge/certbridged/internal/order"
)

// FailpointVariable names the instant at which a daemon built with the tag "failpoint" kills itself: "before:STEP" or
// "after:STEP", where STEP is the name of a journal step, "STEP#2" its second time, or "list:FILE" to append the names
// of all steps to a file.
const FailpointVariable = "CERTBRIDGED_FAILPOINT"

type failingJournal struct {
	order.Journal
	when, step string
	// times is how often the step is still to come.
	times *atomic.Int64
}

func failpoint(j order.Journal) order.Journal {
	when, step, _ := strings.Cut(os.Getenv(FailpointVariable), ":")
	f := failingJournal{Journal: j, when: when, step: step, times: &atomic.Int64{}}
	f.times.Store(1)
	if name, n, ok := strings.Cut(step, "#"); ok && when != "list" {
		times, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", FailpointVariable, err)) // in no build that users get
		}
		f.step = name
		f.times.Store(times)
	}
	return f
}

// Write implements order.Journal.
func (f failingJournal) Write(bucket string, records map[string][]byte) error {
	step := stepOf(bucket, records)
	if f.when == "list" && step != "" {
		file, err := os.OpenFile(f.step, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		fmt.Fprintln(file, step)
		if err := file.Close(); err != nil {
			return err
		}
	}
	now := f.when != "list" && step == f.step && f.times.Add(-1) == 0
	if now && f.when == "before" {
		die()
	}
	err := f.Journal.Write(bucket, records)
	if now && f.when == "after" {
		die()
	}
	return err
}

// stepOf names what a write notes: the step of an order, or how far an installation got.
func stepOf(bucket string, records map[string][]byte) string {
	for key, value := range records {
		switch {
		case value == nil:
		case bucket == generationsBucket && strings.HasPrefix(key, "history/"):
			return "files-" + lastPhase(value)
		case strings.HasPrefix(key, "order/"):
			if r, err := order.DecodeRecord(value); err == nil {
				return r.Step
			}
		}
	}
	return ""
}

// lastPhase is that of a certificate's last generation.
func lastPhase(history []byte) string {
	var h struct {
		Generations []struct {
			Phase string `json:"phase"`
		} `json:"generations"`
	}
	if err := json.Unmarshal(history, &h); err != nil || len(h.Generations) == 0 {
		panic(fmt.Sprintf("%s: a history of generations: %s, %v", FailpointVariable, history, err)) // in no build that users get
	}
	return h.Generations[len(h.Generations)-1].Phase
}

// die ends the process as a power cut would: nothing deferred runs.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
