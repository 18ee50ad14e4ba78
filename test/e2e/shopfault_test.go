package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
)

// fault is a way to misbehave in one exchange. work does what was asked for and writes the answer.
type fault func(s *shop, w http.ResponseWriter, r *http.Request, work func(http.ResponseWriter))

// misbehave makes the next exchange of a kind go wrong; several are taken one after the other.
func (s *shop) misbehave(exchange string, list ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[exchange] = append(s.faults[exchange], list...)
}

func (s *shop) takeFault(exchange string) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.faults[exchange]
	if len(list) == 0 {
		return nil
	}
	if s.faults[exchange] = list[1:]; len(list) == 1 {
		delete(s.faults, exchange)
	}
	return list[0]
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// lostBefore: the request is lost, nothing is done.
func lostBefore(_ *shop, w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
	hangUp(w)
}

// lostAfter: it is done, and the answer is lost.
func lostAfter(_ *shop, w http.ResponseWriter, _ *http.Request, work func(http.ResponseWriter)) {
	work(httptest.NewRecorder())
	hangUp(w)
}

// failBefore: an internal error, and nothing is done.
func failBefore(_ *shop, w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
	w.WriteHeader(http.StatusInternalServerError)
}

// failAfter: it is done, and an internal error is the answer.
func failAfter(_ *shop, w http.ResponseWriter, _ *http.Request, work func(http.ResponseWriter)) {
	work(httptest.NewRecorder())
	w.WriteHeader(http.StatusBadGateway)
}

// garbage: it is done, and the answer makes no sense.
func garbage(_ *shop, w http.ResponseWriter, _ *http.Request, work func(http.ResponseWriter)) {
	work(httptest.NewRecorder())
	_, _ = io.WriteString(w, "<html>Welcome!</html>")
}

// cutOff: it is done, and the answer ends in the middle.
func cutOff(_ *shop, w http.ResponseWriter, _ *http.Request, work func(http.ResponseWriter)) {
	rec := httptest.NewRecorder()
	work(rec)
	w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
	_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
}

// hang answers nothing until the other side gives up.
func hang(_ *shop, _ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
	<-r.Context().Done()
}

// killPluginBefore kills the plugin when its request has come, before anything is done.
func killPluginBefore(_ *shop, w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
	killPlugin(r)
	hangUp(w)
}

// killPluginAfter kills the plugin when all is done, before it can hear of it.
func killPluginAfter(_ *shop, w http.ResponseWriter, r *http.Request, work func(http.ResponseWriter)) {
	work(httptest.NewRecorder())
	killPlugin(r)
	hangUp(w)
}

func killPlugin(r *http.Request) {
	_, text, _ := strings.Cut(r.UserAgent(), "/")
	if pid, err := strconv.Atoi(text); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// killDaemon kills the daemon in the middle of an exchange, before or after the shop has done its part.
func killDaemon(r *rig, done bool) fault {
	return func(_ *shop, w http.ResponseWriter, _ *http.Request, work func(http.ResponseWriter)) {
		if done {
			work(httptest.NewRecorder())
		}
		r.kill()
		hangUp(w)
	}
}

// echo refuses, and tells the customer's own key while it does.
func echo(code int) fault {
	return func(_ *shop, w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"message": "no, not with %s"}`, r.Header.Get("Authorization"))
	}
}
