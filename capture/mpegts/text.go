package mpegts

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// DVBText decodes a text of service information (ETSI EN 300 468 annex A). The
// default table (ISO 6937), Latin 1, 5 and 9, Cyrillic, UCS-2 and UTF-8 are
// understood; of other tables, the ASCII half. What cannot be decoded becomes
// U+FFFD; control characters are dropped, so that the result is one safe line.
func DVBText(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var s string
	switch c := b[0]; {
	case c >= 0x20:
		s = iso6937(b)
	case c == 0x15:
		s = strings.ToValidUTF8(string(b[1:]), string(utf8.RuneError))
	case c == 0x11 || c == 0x14:
		u := make([]uint16, 0, len(b)/2)
		for i := 1; i+1 < len(b); i += 2 {
			u = append(u, uint16(b[i])<<8|uint16(b[i+1]))
		}
		s = string(utf16.Decode(u))
	case c == 0x10:
		if len(b) < 3 {
			return ""
		}
		s = iso8859(b[3:], int(b[1])<<8|int(b[2]))
	case c <= 0x0B:
		s = iso8859(b[1:], int(c)+4)
	default:
		s = iso8859(b[1:], 0)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == 0x8A || r == 0xE08A: // CR/LF of annex A.1
			return ' '
		case unicode.IsControl(r) || r >= 0xE080 && r <= 0xE09F || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}

// iso8859 decodes part n of ISO/IEC 8859; 0 stands for an unknown table.
func iso8859(b []byte, n int) string {
	var s strings.Builder
	for _, c := range b {
		r := rune(c)
		switch {
		case c < 0xA0 || n == 1:
		case n == 5:
			r = cyrillic(c)
		case n == 9:
			if i := strings.IndexByte("\xD0\xDD\xDE\xF0\xFD\xFE", c); i >= 0 {
				r = []rune("ĞİŞğış")[i]
			}
		case n == 15:
			if i := strings.IndexByte("\xA4\xA6\xA8\xB4\xB8\xBC\xBD\xBE", c); i >= 0 {
				r = []rune("€ŠšŽžŒœŸ")[i]
			}
		default:
			r = utf8.RuneError
		}
		s.WriteRune(r)
	}
	return s.String()
}

func cyrillic(c byte) rune {
	switch c {
	case 0xA0, 0xAD:
		return rune(c)
	case 0xF0:
		return '№'
	case 0xFD:
		return '§'
	}
	return rune(c) - 0xA0 + 0x400
}

// marks6937 are the combining marks of the codes 0xC0…0xCF, which stand before
// their letter; 0 where there is none.
var marks6937 = [16]rune{0, 0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0, 0x30A, 0x327, 0, 0x30B, 0x328, 0x30C}

// high6937 are the characters of 0xA0…0xBF and 0xD0…0xFF, with the euro sign
// that EN 300 468 adds; a space where there is none.
var high6937 = []rune("\u00a0¡¢£€¥ §¤‘“«←↑→↓°±²³×µ¶·÷’”»¼½¾¿―¹®©™♪¬¦    ⅛⅜⅝⅞ΩÆĐªĦ ĲĿŁØŒºÞŦŊŉĸæđðħıĳŀłøœßþŧŋ\u00ad")

func iso6937(b []byte) string {
	var s strings.Builder
	var mark rune
	for _, c := range b {
		r := rune(c)
		switch {
		case c >= 0xC0 && c <= 0xCF:
			if mark = marks6937[c-0xC0]; mark == 0 {
				s.WriteRune(utf8.RuneError)
			}
			continue
		case c >= 0xD0:
			r = high6937[c-0xD0+0x20]
		case c >= 0xA0:
			r = high6937[c-0xA0]
		}
		if r == ' ' && c != ' ' {
			r = utf8.RuneError
		}
		if s.WriteRune(r); mark != 0 {
			s.WriteRune(mark)
			mark = 0
		}
	}
	return s.String()
}
