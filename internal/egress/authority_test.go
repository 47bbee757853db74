package egress_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

// A receiver whose certificate a company's own authority signed is reached with that authority's file, and not without.
func TestPrivateAuthorityIsAdded(t *testing.T) {
	t.Parallel()
	private := newAuthority(t)
	receiver := serveTLS(t, private.config(t, "127.0.0.1", time.Now().Add(time.Hour)), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, egress.Unreachable, post(t, setup(t, egress.Config{}), receiver.URL).Outcome)

	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: private.cert.Raw}), 0o600))
	pool, err := egress.ReadCAs(path)
	require.NoError(t, err)
	res := post(t, setup(t, egress.Config{RootCAs: pool}), receiver.URL)
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)

	// The system's stay, and another stranger's is not let in.
	other := serveTLS(t, newAuthority(t).config(t, "127.0.0.1", time.Now().Add(time.Hour)), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, egress.Unreachable, post(t, setup(t, egress.Config{RootCAs: pool}), other.URL).Outcome)

	require.NoError(t, os.WriteFile(path, []byte("no certificate"), 0o600))
	_, err = egress.ReadCAs(path)
	require.ErrorContains(t, err, "PEM")
	_, err = egress.ReadCAs(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// pemOf returns an authority's certificate as a block of a PEM file.
func pemOf(a *authority) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

func writeCAs(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// What editors, shells and openssl put around and between certificates hides none of them.
func TestEveryAuthorityOfAFileIsRead(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	const mark = "\ufeff"
	for name, text := range map[string]string{
		"Plain":            pemOf(first) + pemOf(second),
		"ByteOrderMark":    mark + pemOf(first) + pemOf(second),
		"MarkOfJoinedFile": mark + pemOf(first) + mark + pemOf(second),
		"CRLF":             mark + strings.ReplaceAll(pemOf(first)+"\n"+pemOf(second), "\n", "\r\n"),
		"CR":               strings.ReplaceAll(pemOf(first)+pemOf(second), "\n", "\r"),
		"NoLastLineBreak":  pemOf(first) + strings.TrimSpace(pemOf(second)),
		"BlanksAtLineEnds": strings.ReplaceAll(pemOf(first)+pemOf(second), "\n", " \t\n"),
		"Explained": "# Company CAs - end of 2025 ----\nsubject=CN = a: b\n" + pemOf(first) +
			"Foo - End Entity CA\n=====\n-- begin of the second\n" + pemOf(second) + "--- end of file ---\n",
		"Twice": pemOf(first) + pemOf(second) + pemOf(first),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := egress.ReadCAs(writeCAs(t, text))
			require.NoError(t, err)
			client := setup(t, egress.Config{RootCAs: pool})
			for _, a := range []*authority{first, second} {
				receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour)), func(http.ResponseWriter, *http.Request) {})
				res := post(t, client, receiver.URL)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			}
		})
	}
}

// A block that is passed over without a word is an authority that is missed later.
func TestBrokenFileOfAuthoritiesNamesTheBlock(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	good := pemOf(a)
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	require.NoError(t, err)
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	block := func(label, text string) string {
		return "-----BEGIN " + label + "-----\n" + text + "\n-----END " + label + "-----\n"
	}
	s3cret := base64.StdEncoding.EncodeToString([]byte("s3cret s3cret s3cret"))
	for name, c := range map[string]struct{ text, want string }{
		"Empty":            {"", "no certificate in PEM form"},
		"OnlyText":         {"s3cret\n", "no certificate in PEM form"},
		"DER":              {string(a.cert.Raw), "-inform der"},
		"UTF16":            {"\xff\xfe-\x00-\x00", "UTF-8"},
		"PrivateKey":       {good + key, "block 2 (line 11) is a private key"},
		"OnlyAPrivateKey":  {key, "block 1 (line 1) is a private key"},
		"NotBase64":        {block("CERTIFICATE", "s3cret!") + good, "block 1 (line 1) is not whole base64"},
		"NotDER":           {good + block("CERTIFICATE", s3cret) + good, "block 2 (line 11) can't be read as a certificate"},
		"EmptyBlock":       {good + block("CERTIFICATE", ""), "block 2 (line 11) can't be read as a certificate"},
		"Cut":              {good + good[:len(good)-40], "block 2 (line 11) has no END line"},
		"NoEndBeforeNext":  {good[:len(good)-30] + "\n" + good, "block 1 (line 1) has no END line like its BEGIN line before line"},
		"OtherEnd":         {strings.Replace(good, "END CERTIFICATE", "END CERT", 1), "block 1 (line 1) has no END line"},
		"JoinedLines":      {strings.TrimSpace(good) + good, "block 1 (line 1) has no END line"},
		"NoBegin":          {good + strings.SplitN(good, "\n", 2)[1], "block 2 (line 19) does not begin with a line like"},
		"Indented":         {good + strings.ReplaceAll(good, "-----BEGIN", "  -----BEGIN"), "block 2 (line 11) does not begin with"},
		"FourDashes":       {good + strings.ReplaceAll(good, "-----", "----"), "block 2 (line 11) does not begin with"},
		"Dashes":           {good + strings.ReplaceAll(good, "-----BEGIN", "\u2014\u2014-BEGIN"), "block 2 (line 11) does not begin with"},
		"LowerCase":        {good + strings.ReplaceAll(good, "BEGIN", "begin"), "block 2 (line 11) does not begin with"},
		"Headers":          {good + strings.Replace(good, "-----\n", "-----\ns3cret: s3cret\n\n", 1), "block 2 (line 11) has lines with a colon"},
		"Trusted":          {block("TRUSTED CERTIFICATE", s3cret), "block 1 (line 1) has OpenSSL's own form"},
		"PKCS7":            {block("PKCS7", s3cret), "-print_certs"},
		"RevocationList":   {good + block("X509 CRL", s3cret), "block 2 (line 11) is no certificate"},
		"UnreadableKey":    {good + block("RSA PRIVATE KEY", "s3cret"), "block 2 (line 11) is a private key"},
		"TextBehindTheEnd": {strings.TrimSpace(good) + " s3cret\n", "block 1 (line 1) has no END line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := egress.ReadCAs(writeCAs(t, c.text))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cret")
			require.NotContains(t, err.Error(), s3cret)
		})
	}
}
