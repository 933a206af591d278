package main

import (
	"bufio"
	"flag"
	"fmt"

	"quartet/fec"
)

var fecMatrixCommand = command{
	name:  "fec matrix",
	short: "print the coefficients of the Reed-Solomon code",
	long: `
Prints the rows of the code (RFC 5510, GF(2^8)) for blocks of K source packets:
row by row the ESI of the repair symbol and, for each source packet, the
coefficient in hex. The coefficients depend on K and not on the number of rows.
A second implementation compares its own with these:

  $ quartetctl fec matrix -k 4 -r 2
  ESI 4: 40 78 36 0f
  ESI 5: e7 d2 57 63`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		k := f.Int("k", 0, "source packets of a block, 1 to 254")
		r := f.Int("r", 0, "rows to print, at least 1; K + R is at most 255")
		return func(e *env, _ []string) error {
			if *k < 1 || *r < 1 || *k+*r > 255 {
				return usagef("fec matrix: -k %d -r %d: write -k 1 to 254 and -r 1 to 255 - k", *k, *r)
			}
			rows, err := fec.Coefficients(*k, *r)
			if err != nil {
				return err
			}
			w := bufio.NewWriter(e.out)
			for j, row := range rows {
				fmt.Fprintf(w, "ESI %d:", *k+j)
				for _, c := range row {
					fmt.Fprintf(w, " %02x", c)
				}
				fmt.Fprintln(w)
			}
			return w.Flush()
		}
	},
}
