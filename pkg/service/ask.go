package service

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// askTimeout exceeds the time that a readiness check may take.
const askTimeout = 5 * time.Second

// Ask returns nil if the process at this environment's ADMIN_ADDR answers 200 at the path: /healthz or /readyz. A container
// without a shell or curl uses it as its health check.
func Ask(ctx context.Context, path string) error {
	var cfg Config
	if err := LoadConfig(os.LookupEnv, &cfg); err != nil {
		return err
	}
	return AskAt(ctx, cfg.Admin.Addr, path)
}

// AskAt returns nil if a GET of the path at the address is answered 200. An address without a host is this machine's.
func AskAt(ctx context.Context, addr, path string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	at, err := URLAt(addr, path)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s: %s", request.URL.Path, answer.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// URLAt returns the URL of a path at an address that this process, or another one of this machine, listens on.
func URLAt(addr, path string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}
