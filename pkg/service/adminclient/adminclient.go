// Package adminclient asks the admin addresses of running services what docs/admin.md says they answer.
package adminclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Config says where the admin addresses are.
type Config struct {
	_    struct{} `group:"Admin addresses"`
	URLs []string `envconfig:"ADMIN_URLS" desc:"admin addresses of running services for operators' commands, such as http://projector-user:9090, with commas; a name stands for all its IP addresses; empty: those of make run and make services, from ADMIN_ADDR on"`
	service.AdminConfig
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	for _, text := range c.URLs {
		if at, err := httpapi.ParseURL(text); err != nil || strings.Trim(at.Path, "/") != "" {
			return fmt.Errorf("ADMIN_URLS=%s: want URLs such as http://127.0.0.1:9090", strings.Join(c.URLs, ","))
		}
	}
	return nil
}

// Limits of one request. A redrive takes up to 20 s.
const (
	longestAnswer  = 40 * time.Second
	longestConnect = 5 * time.Second
	maxAnswer      = 64 << 20
)

// Client asks the services at some admin addresses.
type Client struct {
	// Named says that an operator named the addresses, so that one that does not answer is a surprise.
	Named bool

	addresses []string
	token     string
	http      *http.Client
	serving   map[string]string // the address that answers for a projection
}

// New returns a Client. Where c names no addresses, those are tried of which some may be free: defaults.
func New(ctx context.Context, c Config, defaults []string) (*Client, error) {
	cookies, err := cookiejar.New(nil) // a load balancer keeps one operator with one task by them
	if err != nil {
		return nil, err
	}
	client := &Client{
		token: c.Token, serving: map[string]string{},
		http: &http.Client{
			Timeout: longestAnswer, Jar: cookies,
			Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: longestConnect}).DialContext, DisableKeepAlives: true},
		},
	}
	if len(c.URLs) == 0 {
		client.addresses = defaults
		return client, nil
	}
	client.Named = true
	for _, text := range c.URLs {
		each, err := replicas(ctx, strings.TrimSuffix(text, "/"))
		if err != nil {
			return nil, err
		}
		for _, address := range each {
			if !slices.Contains(client.addresses, address) {
				client.addresses = append(client.addresses, address)
			}
		}
	}
	return client, nil
}

// replicas returns the URL of each IP address of the URL's host: a service's name in Compose or ECS stands for all its tasks, and a
// request by an IP address is one that every admin address accepts. A certificate is for the name, so https is left as it is. So is a name
// that has no address now, which the request then says: a service without any task must not hide the others.
func replicas(ctx context.Context, text string) ([]string, error) {
	at, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	host := at.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || at.Scheme == "https" {
		return []string{text}, nil
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return []string{text}, nil //nolint:nilerr // as above
	}
	port := at.Port()
	if port == "" {
		port = "80"
	}
	slices.Sort(ips)
	var all []string
	for _, ip := range ips {
		at.Host = net.JoinHostPort(ip, port)
		all = append(all, at.String())
	}
	return all, nil
}

// Refusal is an answer that refuses, or says that it cannot.
type Refusal struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Detail) }

// ErrNothingThere means that no address answers.
var ErrNothingThere = errors.New("no admin address answers")

// nothingThere says what to do.
func (c *Client) nothingThere(err error) error {
	return fmt.Errorf("%w (asked %s): %w; name those of your services by --admin or ADMIN_URLS, or start make run",
		ErrNothingThere, strings.Join(c.addresses, ", "), err)
}

// Each sends a GET of path to every address and calls answered with each JSON answer, decoded as a T. An address that gives none is
// skipped, and reported to missing. It is an error if none answers.
func Each[T any](
	ctx context.Context, c *Client, path string, answered func(address string, answer T), missing func(address string, err error),
) error {
	var errs []error
	for _, address := range c.addresses {
		var answer T
		if _, err := c.do(ctx, http.MethodGet, address+path, &answer); err != nil {
			errs = append(errs, err)
			missing(address, err)
			continue
		}
		answered(address, answer)
	}
	if len(errs) == len(c.addresses) {
		return c.nothingThere(errs[0])
	}
	return nil
}

// Answer is what one address answers, whatever it is.
type Answer struct {
	Address string
	Status  int
	Body    []byte
	Err     error // there is no answer
}

// All sends a GET of path to every address at once and returns the answers in the order of the addresses.
func (c *Client) All(ctx context.Context, path string) []Answer {
	answers := make([]Answer, len(c.addresses))
	var wg sync.WaitGroup
	for i, address := range c.addresses {
		wg.Go(func() {
			status, body, _, err := c.exchange(ctx, http.MethodGet, address+path)
			answers[i] = Answer{address, status, body, err}
		})
	}
	wg.Wait()
	return answers
}

// Projection returns the address of a service that keeps the projection of that name. Any replica answers for all.
func (c *Client) Projection(ctx context.Context, name string) (address string, err error) {
	if address, ok := c.serving[name]; ok {
		return address, nil
	}
	var refused, unreachable error
	for _, address := range c.addresses {
		_, err := c.do(ctx, http.MethodGet, address+"/projections/"+name+"/parked?limit=1", nil)
		if err == nil {
			c.serving[name] = address
			return address, nil
		}
		if r, ok := errors.AsType[*Refusal](err); !ok {
			unreachable = err
		} else if r.Status != http.StatusNotFound || refused == nil {
			refused = fmt.Errorf("%s: %w", address, err)
		}
	}
	if refused == nil {
		return "", c.nothingThere(unreachable)
	}
	return "", fmt.Errorf("no service at %s answers for projection %s: %w; name that service by --admin or ADMIN_URLS",
		strings.Join(c.addresses, ", "), name, refused)
}

// Get decodes the answer to a GET into answer, and returns the path of the next page, if it has one.
func (c *Client) Get(ctx context.Context, url string, answer any) (next string, err error) {
	return c.do(ctx, http.MethodGet, url, answer)
}

// Post decodes the answer to a POST into answer.
func (c *Client) Post(ctx context.Context, url string, answer any) error {
	_, err := c.do(ctx, http.MethodPost, url, answer)
	return err
}

func (c *Client) do(ctx context.Context, method, url string, into any) (next string, err error) {
	status, body, header, err := c.exchange(ctx, method, url)
	if err != nil {
		return "", err
	}
	if status/100 != 2 {
		refusal := &Refusal{}
		if json.Unmarshal(body, refusal) != nil || refusal.Code == "" {
			refusal = &Refusal{Code: http.StatusText(status), Detail: "answered by no service of Leftfold"}
		}
		refusal.Status = status
		return "", refusal
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			return "", fmt.Errorf("%s %s: %w", method, url, err)
		}
	}
	return httpapi.NextPage(header), nil
}

// exchange sends a request and reads the answer, whatever its status.
func (c *Client) exchange(ctx context.Context, method, url string) (status int, body []byte, header http.Header, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, nil, nil, err
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // of a reader
	body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	return answer.StatusCode, body, answer.Header, nil
}
