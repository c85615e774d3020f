package allocator

import (
	"errors"
	"math"
	"regexp"
	"regexp/syntax"
)

// PatternLimits bound the regular expressions in constraints, which frameworks
// choose and the one deciding goroutine evaluates. They are Mesos's, in RE2's
// measure: an instruction takes 8 bytes.
type PatternLimits struct {
	ProgramSize int // instructions of the compiled program; each range of a class is one [100]
	Memory      int // bytes of the compiled program, and of the pattern's text [4096]
}

// Unlimited is for constraints that were admitted elsewhere.
var Unlimited = PatternLimits{ProgramSize: math.MaxInt, Memory: math.MaxInt}

const instructionBytes = 8

func (l PatternLimits) withDefaults() PatternLimits {
	if l.ProgramSize == 0 {
		l.ProgramSize = 100
	}
	if l.Memory == 0 {
		l.Memory = 4096
	}
	return l
}

// compile returns the pattern as one that matches whole values. Go's syntax is
// RE2's; its programs are of characters where RE2's are of bytes, so they are
// no longer than those.
func (l PatternLimits) compile(pattern string) (*regexp.Regexp, error) {
	l = l.withDefaults()
	if len(pattern) > l.Memory {
		return nil, failed(pattern, "pattern too large - compile failed")
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		if e := (*syntax.Error)(nil); errors.As(err, &e) {
			return nil, failed(pattern, e.Code.String()+": "+e.Expr)
		}
		return nil, failed(pattern, err.Error())
	}
	// Repetitions multiply: look before they are written out.
	if err := l.admit(pattern, instructions(parsed)); err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, failed(pattern, err.Error())
	}
	size := 0
	for i := range program.Inst {
		size += max(1, len(program.Inst[i].Rune)/2)
	}
	if err := l.admit(pattern, size); err != nil {
		return nil, err
	}
	whole, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, failed(pattern, err.Error())
	}
	return whole, nil
}

// admit holds a program's size against the limits.
func (l PatternLimits) admit(pattern string, size int) error {
	switch {
	case size > l.Memory/instructionBytes:
		return failed(pattern, "pattern too large - compile failed")
	case size > l.ProgramSize:
		return invalidf("Regex '%s' is too complex: program size of %d is larger than maximum of %d allowed", pattern, size, l.ProgramSize)
	}
	return nil
}

func failed(pattern, why string) error {
	return invalidf("Failed to construct regex from pattern '%.200s': %s", pattern, why)
}

// instructions is how many instructions an expression becomes, or a little less.
func instructions(re *syntax.Regexp) int {
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		n = max(1, len(re.Rune)/2)
	case syntax.OpRepeat:
		return max(re.Min, re.Max, 1) * instructions(re.Sub[0])
	case syntax.OpCapture:
		n = 2
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = 1
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	return n
}
