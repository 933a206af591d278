// Package secrets puts the box document and the sealing key together: secrets
// are opened when a document is read, and sealed when it is kept. It is what
// quartetd, which only reads, and the management plane have in common.
package secrets

import (
	"errors"
	"fmt"
	"io/fs"

	"quartet/device/config"
	"quartet/device/seal"
)

// KeyFile is where the sealing key is unless the command line says otherwise.
const KeyFile = "/var/lib/quartet-key/seal.key"

// Opener opens the secrets of a document with the key in a file, which is read
// when the first sealed secret is met. A file that is not there is an error of
// that secret only: a document with plain ones needs no key.
func Opener(keyFile string) config.Unseal {
	var s *seal.Sealer
	return func(path string, sealed config.Secret) (config.Secret, error) {
		if s == nil {
			var err error
			switch s, err = seal.Load(keyFile); {
			case errors.Is(err, fs.ErrNotExist):
				return "", fmt.Errorf("is sealed, and its key is not there: %s (--key names the file)", keyFile)
			case err != nil:
				return "", fmt.Errorf("is sealed, and its key cannot be read: %w", err)
			}
		}
		return open(s, path, sealed)
	}
}

// With opens the secrets of a document with a sealer.
func With(s *seal.Sealer) config.Unseal {
	return func(path string, sealed config.Secret) (config.Secret, error) { return open(s, path, sealed) }
}

func open(s *seal.Sealer, path string, sealed config.Secret) (config.Secret, error) {
	plain, err := s.Unseal(sealed.Reveal(), config.SecretContext(path))
	return config.Secret(plain), err
}

// Document is the form of a box document that is kept: that of config.Encode,
// with its secrets sealed. before is the document kept so far, or nil: a secret
// that is the same keeps its sealed text, so that the two differ only in what
// was changed. b is not changed. The error is of type config.Issues if b is not
// valid.
func Document(s *seal.Sealer, b *config.Box, before []byte) ([]byte, error) {
	copied, _, err := config.OpenBox(config.Encode(b), With(s))
	if err != nil {
		return nil, err
	}
	known := map[[2]string]config.Secret{} // context, plain → sealed
	if before != nil {
		// What does not open is sealed anew.
		_, _, _ = config.OpenBox(before, func(path string, sealed config.Secret) (config.Secret, error) {
			plain, err := open(s, path, sealed)
			if err == nil {
				known[[2]string{config.SecretContext(path), plain.Reveal()}] = sealed
			}
			return config.StandIn(path, sealed)
		})
	}
	err = copied.MapSecrets(func(path string, plain config.Secret) (config.Secret, error) {
		context := config.SecretContext(path)
		if same, ok := known[[2]string{context, plain.Reveal()}]; ok {
			return same, nil
		}
		return config.Secret(s.Seal([]byte(plain.Reveal()), context)), nil
	})
	if err != nil {
		return nil, err
	}
	return config.Encode(copied), nil
}
