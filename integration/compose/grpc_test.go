package compose_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/netoauth/netoauth/netoauthtest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpc's oauth.TokenSource makes per-RPC credentials of our source: each call takes the current token, one
// log-in serves all, and renewal happens in the background. grpc sends them over TLS alone.
//
// Without our Transport there is no origin check (use such credentials for the API's connections only), no repeat
// after Unauthenticated, and the wait for a first token does not end with the call's context.
func Example_grpc() {
	api, key := newAPI()
	defer api.Close()
	address, roots, stop := serveHealth(api)
	defer stop()

	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "")),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: key.TokenSource(context.Background())}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	client := healthpb.NewHealthClient(conn)
	for range 2 {
		answer, err := client.Check(context.Background(), new(healthpb.HealthCheckRequest))
		fmt.Println(answer.GetStatus(), status.Code(err))
	}
	fmt.Println(api.Requests(""), "log-in")

	api.RevokeAccessTokens()
	_, err = client.Check(context.Background(), new(healthpb.HealthCheckRequest))
	fmt.Println("after a revocation:", status.Code(err))
	// Output:
	// SERVING OK
	// SERVING OK
	// 1 log-in
	// after a revocation: Unauthenticated
}

func TestGRPC_sendsNoTokenWithoutTLS(t *testing.T) {
	api, key := newAPI()
	defer api.Close()
	conn, err := grpc.NewClient("127.0.0.1:1",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: key.TokenSource(t.Context())}))
	if err == nil {
		defer conn.Close()
		_, err = healthpb.NewHealthClient(conn).Check(t.Context(), new(healthpb.HealthCheckRequest))
	}
	if err == nil || api.Requests("") != 0 {
		t.Errorf("error %v and %d token requests; want an error before any", err, api.Requests(""))
	}
}

// serveHealth starts grpc's own health service behind a check of the access token, with a certificate that
// only roots trusts.
func serveHealth(api *netoauthtest.Server) (address string, roots *x509.CertPool, stop func()) {
	cert, roots := selfSigned()
	check := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ask := httptest.NewRequest(http.MethodGet, listPath, nil)
		if md, _ := metadata.FromIncomingContext(ctx); len(md["authorization"]) == 1 {
			ask.Header["Authorization"] = md["authorization"]
		}
		answer := httptest.NewRecorder()
		if api.ServeHTTP(answer, ask); answer.Code != http.StatusOK {
			return nil, status.Error(codes.Unauthenticated, "no good access token")
		}
		return next(ctx, req)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)), grpc.UnaryInterceptor(check))
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go server.Serve(listener)
	return listener.Addr().String(), roots, server.Stop
}

func selfSigned() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
