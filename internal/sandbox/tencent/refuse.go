package tencent

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
)

// Refusal lets a call that would succeed be answered with an error code, as the API has them: with the status 200. It is
// how codes are rehearsed that nothing in the account brings about.
type Refusal struct {
	// Action is the action's name, empty for any.
	Action string `json:"action,omitempty"`
	Code   string `json:"code"`
	// Message is the error's text; empty means one that says where it is from.
	Message string `json:"message,omitempty"`
	// Skip lets that many such calls pass first. Times is how many are refused; 0 means one, -1 all.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
	// After does the work first.
	After bool `json:"after,omitempty"`
}

func (r Refusal) message() string {
	if r.Message != "" {
		return r.Message
	}
	return "The sandbox was told to refuse."
}

// check says what is wrong with a refusal.
func (r Refusal) check() error {
	var errs []error
	if !regexp.MustCompile(`^[A-Z][A-Za-z]+(\.[A-Z][A-Za-z]+)?$`).MatchString(r.Code) {
		errs = append(errs, fmt.Errorf("code %q is no error code, such as FailedOperation.NetworkError", r.Code))
	}
	if r.Skip < 0 || r.Times < -1 {
		errs = append(errs, errors.New("skip is not negative, and times is not below -1"))
	}
	return errors.Join(errs...)
}

// refusals are those that are still to come. The zero value is ready.
type refusals struct {
	mu   sync.Mutex
	list []Refusal
}

func (l *refusals) add(r Refusal) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	if r.Times == 0 {
		r.Times = 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
	return nil
}

// take takes the refusal that is meant for a call.
func (l *refusals) take(action string) (Refusal, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.list {
		r := &l.list[i]
		if r.Action != "" && r.Action != action {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		taken := *r
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				l.list = slices.Delete(l.list, i, i+1)
			}
		}
		return taken, true
	}
	return Refusal{}, false
}

func (l *refusals) all() []Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

func (l *refusals) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}
