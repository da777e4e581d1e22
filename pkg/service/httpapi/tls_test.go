package httpapi_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// certify writes a certificate of that serial number and its key, older by age than now.
func certify(t *testing.T, c httpapi.Config, serial int64, age time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	signed, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{
		c.TLSCertFile: {Type: "CERTIFICATE", Bytes: signed}, c.TLSKeyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(file, at, at))
	}
}

func secured(t *testing.T) httpapi.Config {
	t.Helper()
	dir := t.TempDir()
	return httpapi.Config{TLSCertFile: filepath.Join(dir, "cert.pem"), TLSKeyFile: filepath.Join(dir, "key.pem")}
}

// shake connects and returns the result of the handshake.
func shake(t *testing.T, addr string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c.InsecureSkipVerify = true
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	secure, ok := conn.(*tls.Conn)
	require.True(t, ok)
	return secure.ConnectionState(), nil
}

func TestACertificateIsReloadedWhenItsFilesChange(t *testing.T) {
	t.Parallel()
	c := secured(t)
	certify(t, c, 1, time.Hour)
	var logs bytes.Buffer
	s, err := httpapi.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), c, slog.New(slog.NewTextHandler(&logs, nil)))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	serial := func() int64 {
		state, err := shake(t, s.Addr(), &tls.Config{})
		require.NoError(t, err)
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	assert.EqualValues(t, 1, serial())
	certify(t, c, 2, time.Minute)
	assert.EqualValues(t, 2, serial(), "renewed")
	require.NoError(t, os.WriteFile(c.TLSCertFile, []byte("half a cert"), 0o600))
	assert.EqualValues(t, 2, serial(), "one that cannot be read leaves the one before")
	certify(t, c, 3, time.Second)
	assert.EqualValues(t, 3, serial(), "and is got over")
	require.NoError(t, os.Remove(c.TLSKeyFile))
	assert.EqualValues(t, 3, serial())

	state, err := shake(t, s.Addr(), &tls.Config{NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(t, err)
	assert.Equal(t, "h2", state.NegotiatedProtocol)
	_, err = shake(t, s.Addr(), &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	require.ErrorContains(t, err, "protocol version")
	stop()
	require.NoError(t, <-ended)
	assert.Contains(t, logs.String(), "reading the changed TLS certificate failed, keeping the one before")
}

func TestAnUnreadableCertificateFailsTheStart(t *testing.T) {
	t.Parallel()
	c := secured(t)
	_, err := httpapi.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), c, quiet())
	require.ErrorContains(t, err, c.TLSCertFile)
	require.ErrorContains(t, err, c.TLSKeyFile)
	certify(t, c, 1, 0)
	require.NoError(t, os.WriteFile(c.TLSKeyFile, []byte("no key"), 0o600))
	_, err = httpapi.Listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), c, quiet())
	require.ErrorContains(t, err, "TLS_KEY_FILE")
}
