package app

import (
	"crypto/tls"
	"net/http"
)

// ownAPI carries what a service of this process requests of another one to the process's own API, whatever address it has.
type ownAPI struct {
	addr   string // set before the services run
	secure bool
}

// url is where a client on this machine reaches it.
func (o *ownAPI) url() string {
	if o.secure {
		return "https://" + o.addr
	}
	return "http://" + o.addr
}

// RoundTrip implements http.RoundTripper. It keeps no connections, since nothing closes them when the process stops.
func (o *ownAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host, r.URL.Scheme = o.addr, "http"
	if o.secure {
		r.URL.Scheme = "https"
	}
	network := o.network()
	network.DisableKeepAlives = true
	return network.RoundTrip(r)
}

// network returns one of its own for requests to the url, whose certificate may be of another name.
func (o *ownAPI) network() *http.Transport {
	if !o.secure {
		return &http.Transport{}
	}
	return &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // this process has the address
}
