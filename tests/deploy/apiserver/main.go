// A real Kubernetes API server over a real etcd, in one process on loopback, to see what it takes and what it refuses. There is no
// controller, no scheduler and no node behind it: nothing ever runs.
//
//	apiserver DIRECTORY PORT
//
// Everything it writes is in the directory, among it the file kubeconfig for whoever wants to talk to it. It ends when its standard
// input does, so it cannot outlive who started it.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: apiserver DIRECTORY PORT")
		os.Exit(64)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	flags, err := prepare(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
	command := app.NewAPIServerCommand()
	command.SetArgs(flags)
	os.Exit(cli.Run(command))
}

// Starts etcd, writes the files that the server and its clients read, and returns the server's flags.
func prepare(directory, port string) ([]string, error) {
	in := func(name string) string { return filepath.Join(directory, name) }
	endpoint, err := startEtcd(in("etcd"))
	if err != nil {
		return nil, err
	}
	token, key := rand.Text(), in("accounts.pem")
	if err := writeKey(key); err != nil {
		return nil, err
	}
	// The one user there is may do everything.
	if err := os.WriteFile(in("tokens"), []byte(token+",operator,operator,system:masters\n"), 0o600); err != nil {
		return nil, err
	}
	certificates := in("certificates")
	// The certificate that the server makes for itself carries its authority.
	if err := os.WriteFile(in("kubeconfig"), []byte(fmt.Sprintf(kubeconfig, port, certificates, token)), 0o600); err != nil {
		return nil, err
	}
	return []string{
		"--etcd-servers=" + endpoint,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + port,
		"--cert-dir=" + certificates,
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC",
		"--token-auth-file=" + in("tokens"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + key,
		"--service-account-signing-key-file=" + key,
		// As in most clusters: what refuses a privileged pod is its namespace.
		"--allow-privileged=true",
	}, nil
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: local
contexts: [{name: local, context: {cluster: local, user: operator}}]
clusters: [{name: local, cluster: {server: "https://127.0.0.1:%s", certificate-authority: "%s/apiserver.crt"}}]
users: [{name: operator, user: {token: "%s"}}]
`

// Returns where its clients find it.
func startEtcd(directory string) (string, error) {
	config := embed.NewConfig()
	config.Name = "local"
	config.Dir = directory
	config.LogLevel = "error"
	// Nobody needs the data once this process is gone.
	config.UnsafeNoFsync = true
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.ListenPeerUrls, config.AdvertisePeerUrls = anyPort, anyPort
	config.ListenClientUrls, config.AdvertiseClientUrls = anyPort, anyPort
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return "", err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return "http://" + etcd.Clients[0].Addr().String(), nil
	case err := <-etcd.Err():
		return "", err
	case <-time.After(time.Minute):
		return "", errors.New("etcd is not ready after a minute")
	}
}

// Writes the key that tokens of service accounts are signed with.
func writeKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	block := pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes}
	return os.WriteFile(path, pem.EncodeToMemory(&block), 0o600)
}
