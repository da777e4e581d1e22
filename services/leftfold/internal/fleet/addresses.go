package fleet

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// Admins are the URLs of the admin addresses, whether the system runs as one process, which has the first of them, or as several.
func Admins(cfg app.Config) (urls []string) {
	names, _ := serviceNames(cfg)
	addrs, _ := inARow(cfg.Admin.Addr, len(names)) // an address that cannot be read has no metrics
	for _, addr := range addrs {
		urls = append(urls, "http://"+addr)
	}
	return urls
}

// inARow returns n addresses with the ports from that of the first on. Port 0 remains 0.
func inARow(first string, n int) (addrs []string, err error) {
	host, port, err := net.SplitHostPort(first)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %s: want a number up to 65535", port)
	}
	for i := range n {
		if number > 0 && i > 0 {
			number++
		}
		addrs = append(addrs, net.JoinHostPort(host, strconv.FormatUint(number, 10)))
	}
	return addrs, nil
}

// available returns n addresses in a row that can be taken now or, if the first one's port is 0, with any free ports.
func available(ctx context.Context, first service.Endpoint, n int) ([]string, error) {
	addrs, err := inARow(first.Addr, n)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", first.Variable, first.Addr, err)
	}
	for i, addr := range addrs {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			err = service.CannotListen(ctx, service.Endpoint{Variable: first.Variable, Addr: addr}, err)
			if n > 1 {
				err = fmt.Errorf("%w; the services need %d ports from %s=%s on", err, n, first.Variable, first.Addr)
			}
			return nil, err
		}
		defer func() { _ = listener.Close() }() // not before the end, so that no two are the same; it has no connections
		addrs[i] = listener.Addr().String()
	}
	return addrs, nil
}
