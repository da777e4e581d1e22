package service

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// CannotListen explains why an endpoint's address cannot be taken.
func CannotListen(ctx context.Context, e Endpoint, err error) error {
	host, port, splitErr := net.SplitHostPort(e.Addr)
	number, numberErr := strconv.ParseUint(port, 10, 16)
	switch {
	case errors.Join(splitErr, numberErr) != nil:
		return fmt.Errorf("%s=%s: want a host and a port up to 65535, such as 127.0.0.1:8080 (%w)", e.Variable, e.Addr, err)
	case !errors.Is(err, errPortInUse):
		return fmt.Errorf("%s=%s: %w", e.Variable, e.Addr, err)
	}
	return fmt.Errorf("%s=%s: %s has this port; stop that, or set another address, such as %[1]s=%[4]s (%[5]w)",
		e.Variable, e.Addr, whoAnswers(ctx, e.Addr), net.JoinHostPort(host, strconv.FormatUint(number+1, 10)), errPortInUse)
}

// pageTitle finds the name that a page gives itself.
var pageTitle = regexp.MustCompile(`(?i)<title>([^<]+)</title>`) // read only

// whoAnswers says, as far as it can be seen, what program serves an address of this machine.
func whoAnswers(ctx context.Context, addr string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(addr)
	unknown := "another program (" + whoHasPort + port + " names it)"
	at, err := URLAt(addr, "/")
	if err != nil {
		return unknown
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return unknown
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return unknown
	}
	defer func() { _ = answer.Body.Close() }()                 // of a stranger
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what there is
	title := pageTitle.FindSubmatch(text)
	switch {
	case title != nil:
		return strconv.Quote(strings.TrimSpace(html.UnescapeString(string(title[1]))))
	case answer.Header.Get("X-Amzn-Requestid") != "":
		return "an embedded AWS, such as that of make run, or LocalStack,"
	case answer.Header.Get("Server") != "":
		return strconv.Quote(answer.Header.Get("Server"))
	}
	return unknown
}
