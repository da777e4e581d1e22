package login

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// sealer encrypts what browsers keep for this server, so that they can neither read nor change it.
type sealer []cipher.AEAD // the first one seals, each opens

func newSealer(keys []string) (s sealer, err error) {
	for _, key := range keys {
		secret, err := hkdf.Key(sha256.New, []byte(key), nil, "leftfold session", 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s = append(s, aead)
	}
	return s, nil
}

// seal returns a text that opens with the same name alone: one cookie is not taken for another.
func (s sealer) seal(name string, value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s[0].Seal(nil, nil, text, []byte(name))), nil //nolint:gosec // it draws a nonce itself
}

// open reports whether the text was sealed by one of the keys.
func (s sealer) open(name, sealed string, value any) bool {
	secret, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return false
	}
	for _, aead := range s {
		if text, err := aead.Open(nil, nil, secret, []byte(name)); err == nil {
			return json.Unmarshal(text, value) == nil
		}
	}
	return false
}
