package httpapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// newTLS returns the configuration of a server with that certificate.
func newTLS(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.current}, nil
}

// certificate is read again when its files have changed. While they cannot be read, the one before stays in use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu    sync.Mutex
	now   *tls.Certificate
	state [2]fileState // when last read, well or not
}

// fileState distinguishes a file from the one that was there before.
type fileState struct {
	size       int64
	modifiedAt time.Time
}

func (c *certificate) load() error {
	state, err := c.onDisk()
	if err != nil {
		return err
	}
	c.state = state
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read TLS_CERT_FILE %s and TLS_KEY_FILE %s: %w", c.certFile, c.keyFile, err)
	}
	c.now = &loaded
	return nil
}

func (c *certificate) onDisk() (state [2]fileState, err error) {
	var errs []error
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the TLS certificate: %w", err))
			continue
		}
		state[i] = fileState{info.Size(), info.ModTime()}
	}
	return state, errors.Join(errs...)
}

// current implements tls.Config.GetCertificate. It never fails: one was loaded at the start.
func (c *certificate) current(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state, err := c.onDisk(); err != nil || state == c.state {
		return c.now, nil
	}
	if err := c.load(); err != nil {
		c.log.WarnContext(hello.Context(), "reading the changed TLS certificate failed, keeping the one before",
			slog.Any(telemetry.KeyError, err))
	}
	return c.now, nil
}
