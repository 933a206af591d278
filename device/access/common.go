package access

import "strings"

// everybodys are the words and rows of keys that lists of stolen passwords
// begin with, those of this trade, and this product's. A password that is one
// of them, or several in a row, with whatever digits and signs around it, is
// refused. They are written as letters writes them.
var everybodys = strings.Fields(`
	password passwort passwd passphrase passcode pass secret geheim kennwort motdepasse contrasena senha parola
	admin administrator root user guest operator viewer login welcome willkommen changeme changeit default letmein
	access master super manager service support system test tester testing temp demo
	qwerty qwertyuiop qwertz qwertzuiop azerty azertyuiop asdf asdfg asdfgh asdfghjkl zxcvb zxcvbnm yxcvbnm
	qazwsx qazwsxedc qweasd qweasdzxc zaq xsw poiuytrewq lkjhgfdsa mnbvcxz
	abc abcd abcde abcdef abcdefg abcdefgh abcdefghij abcdefghijklmnopqrstuvwxyz
	iloveyou loveyou iloveu love princess sunshine monkey dragon football baseball basketball soccer hockey
	superman batman pokemon starwars shadow freedom whatever trustno trustnoone michael jennifer jordan charlie
	daniel thomas george maggie ashley hunter killer summer winter spring autumn sommer herbst monday friday
	january october november december london paris berlin newyork chelsea liverpool arsenal barcelona
	computer internet samsung google facebook microsoft windows linux android apple
	hello hallo bonjour please mustang corvette ferrari mercedes porsche yamaha cheese chocolate cookie pepper
	quartet broadcast broadcaster encoder decoder contribution gateway uplink camera studio stream streaming
	video audio television radio sport sports live onair news media
	the my is me a i you
`)

// common tells whether a password is one that is tried first: made of
// everybody's words, of one character, of a short pattern, or of a run of keys.
func common(password string) bool {
	folded := strings.ToLower(password)
	if pattern(folded) || run(folded) {
		return true
	}
	core := letters(folded)
	if len(core) == 0 {
		// Digits and signs alone: a date or a telephone number. Ten random ones
		// would be good, but nobody has those.
		return len([]rune(password)) < 14
	}
	return core != folded && len(core) <= 3 && len(password) < 14 || madeOf(core)
}

// letters leaves the letters of a password, with the signs and digits that
// stand for letters written as those, but not where they stand at the end:
// "P4ssw0rd2026!" is password.
func letters(password string) string {
	s := strings.TrimRight(strings.ToLower(password), "0123456789!?.,;:#*+-_=/&%$ ")
	s = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(s)
	var b strings.Builder
	for _, r := range s {
		if r >= 'a' && r <= 'z' || r >= 0x80 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// madeOf tells whether s is up to four of everybody's words in a row.
func madeOf(s string) bool {
	const words = 4
	reach := map[int]int{0: 0} // offset → fewest words up to it
	for at := 0; at < len(s); at++ {
		n, ok := reach[at]
		if !ok || n == words {
			continue
		}
		for _, w := range everybodys {
			if strings.HasPrefix(s[at:], w) {
				if had, ok := reach[at+len(w)]; !ok || n+1 < had {
					reach[at+len(w)] = n + 1
				}
			}
		}
	}
	_, ok := reach[len(s)]
	return ok
}

// pattern tells whether s repeats one to four characters.
func pattern(s string) bool {
	for n := 1; n <= 4 && n < len(s); n++ {
		same := true
		for i := n; i < len(s) && same; i++ {
			same = s[i] == s[i-n]
		}
		if same {
			return true
		}
	}
	return false
}

// rows are what fingers run along.
var rows = []string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm",
	"1qaz2wsx3edc4rfv5tgb", "1q2w3e4r5t6y7u8i9o0p", "1q2w3e4r5t6z7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
	"!@#$%^&*()", `!"§$%&/()=`,
}

// run tells whether s is made of up to three runs along a row, forwards or
// backwards, of three characters or more: "qwertz12345".
func run(s string) bool {
	for range 3 {
		best := 0
		for _, row := range rows {
			for _, r := range []string{row, reverse(row)} {
				for from := range len(r) {
					n := 0
					for n < len(s) && from+n < len(r) && s[n] == r[from+n] {
						n++
					}
					best = max(best, n)
				}
			}
		}
		if best < 3 {
			return false
		}
		if s = s[best:]; s == "" {
			return true
		}
	}
	return false
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
