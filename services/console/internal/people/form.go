package people

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

// form is one form of a page: as it comes, or as its reader has sent it.
type form struct {
	// Name is the end of the address that it is sent to.
	Name   string
	Action string
	// Key makes the API carry it out once.
	Key string
	// Version is the one that its reader saw; 0: none.
	Version eventsourcing.Version
	// Values are what is typed, by field.
	Values url.Values
	// refused says what is wrong, by field; "": with the form as a whole.
	refused map[string]string
}

// The fields that every form has beside its own.
const (
	keyField     = "key"
	versionField = "version"
)

// newForm is a form that nobody has filled in, with its fields' values in pairs.
func newForm(at, name string, version eventsourcing.Version, fields ...string) form {
	f := form{Name: name, Action: at + "/" + name, Key: uuid.NewString(), Version: version, Values: url.Values{}}
	for pair := range slices.Chunk(fields, 2) {
		f.Values.Set(pair[0], pair[1])
	}
	return f
}

// sentForm is the form that a request carries.
func sentForm(r *http.Request, at, name string) (form, error) {
	if err := r.ParseForm(); err != nil {
		return form{}, err
	}
	f := form{Name: name, Action: at + "/" + name, Key: r.PostForm.Get(keyField), Values: r.PostForm, refused: map[string]string{}}
	version, err := strconv.ParseUint(r.PostForm.Get(versionField), 10, 64)
	if err == nil {
		f.Version = eventsourcing.Version(version)
	}
	if f.Key == "" {
		f.Key = uuid.NewString()
	}
	return f, nil
}

// text is what was typed into a field.
func (f *form) text(field string) string { return strings.TrimSpace(f.Values.Get(field)) }

// until is the time in a field, nil if that is empty. ok is false if there is anything else, which is then refused.
func (f *form) until() (until *time.Time, ok bool) {
	text := f.text("until")
	if text == "" {
		return nil, true
	}
	if at, ok := page.ParseInstant(text); ok {
		return &at, true
	}
	f.say("until", "Want a day and a time, such as 2030-01-31T18:00.")
	return nil, false
}

// say says what is wrong with a field of the form, or with all of it if it has none of that name.
func (f *form) say(field, text string) {
	if !f.Values.Has(field) {
		field = ""
	}
	f.refused[field] = text
}

// wrongField is the field that a refusal is about. All others are about the form.
func wrongField(code string) string {
	switch code {
	case user.ErrEmailTaken.Code:
		return "email"
	case role.ErrNameTaken.Code:
		return "name"
	case user.ErrUntilPassed.Code:
		return "until"
	case role.ErrNoHolder.Code:
		return "essential"
	case role.ErrTooManyMembers.Code:
		return "maxMembers"
	case user.ErrNoSeatLeft.Code, user.ErrRoleHeld.Code, user.ErrTooManyRoles.Code, user.ErrRoleNotFound.Code,
		user.ErrRoleDisabled.Code, user.ErrRoleRetiring.Code, user.ErrRoleRetired.Code:
		return "roleId"
	default:
		return ""
	}
}

// refuse puts what the API has refused where it belongs. What was typed stays, and may be sent under another key: nothing was written.
func (f *form) refuse(problem httpapi.Problem) {
	f.Key = uuid.NewString()
	switch problem.Code {
	case httpapi.CodePreconditionFailed:
		f.say("", "It was changed after this page was shown. What it is now is shown here, and what you typed is kept: look, and send it again.")
	case problems.ErrKeyReused.Code:
		f.say("", "This form was sent before, with something else in it. Look at what that did, and send it again.")
	case httpapi.CodeInvalid:
		for _, e := range problem.Errors {
			f.say(strings.TrimPrefix(e.Location, "body."), sentence(e.Message))
		}
	default:
		f.say(wrongField(problem.Code), said(problem))
	}
}

// said is a problem in words, with what to do about it.
func said(problem httpapi.Problem) string {
	known := problems.Info().Refusals
	i := slices.IndexFunc(known, func(r *eventsourcing.Refusal) bool { return r.Code == problem.Code })
	if i < 0 || known[i].Remedy == "" || known[i].Remedy == "nothing" {
		return sentence(problem.Detail)
	}
	return sentence(problem.Detail + "; " + strings.ReplaceAll(known[i].Remedy, "`", ""))
}

// sentence makes one of a text that is none.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// Refused is what is wrong with the form as a whole.
func (f form) Refused() string { return f.refused[""] }

// Typed is what was typed, by field.
func (f form) Typed() map[string]string {
	typed := map[string]string{}
	for name, values := range f.Values {
		if name != keyField && name != versionField {
			typed[name] = strings.Join(values, ", ")
		}
	}
	return typed
}

// Reasons are all that is wrong with it.
func (f form) Reasons() []string { return slices.Sorted(maps.Values(f.refused)) }

// field is a field of a form as it is shown.
type field struct {
	ID, Name, Label, Kind, Value, Refused string

	// Hint says more of it than the label.
	Hint string
	// Focus: the reader goes on here.
	Focus    bool
	Required bool
	Checked  bool
	Longest  int
	Options  []option
}

// option is one of several values.
type option struct {
	Value, Text string
	Chosen      bool
}

// field returns the field of that name.
func (f form) field(name, label, kind string) field {
	return field{
		ID: strings.ReplaceAll(f.Name, "/", "-") + "-" + name, Name: name, Label: label, Kind: kind, Value: f.Values.Get(name),
		Refused: f.refused[name], Focus: f.refused[name] != "",
	}
}

// Text is a field for text that must be given.
func (f form) Text(name, label string, longest int) field {
	one := f.field(name, label, "text")
	one.Required, one.Longest = true, longest
	return one
}

// Email is a field for an e-mail address that must be given. The API says what one is, not the browser, which knows other ones.
func (f form) Email(label string) field { return f.Text("email", label, 255) }

// Until is a field for the end of a grant.
func (f form) Until() field {
	return f.field("until", "Until; empty: no end", "datetime-local")
}

// Check is a box to tick.
func (f form) Check(name, label string) field {
	one := f.field(name, label, "checkbox")
	one.Checked, one.Value = one.Value != "", "yes"
	return one
}

// Sure is a box that must be ticked.
func (f form) Sure(label string) field {
	one := f.Check("sure", label)
	one.Required = true
	return one
}

// Number is a field for a whole number, or none.
func (f form) Number(name, label, hint string) field {
	one := f.field(name, label, "number")
	one.Hint = hint
	return one
}

// Choice is a field with a value of several.
func (f form) Choice(name, label string, options []option) field {
	one := f.field(name, label, "")
	one.Required = true
	for _, each := range options {
		each.Chosen = each.Value == one.Value
		one.Options = append(one.Options, each)
	}
	return one
}

// forms are those of a page, one of which may have been refused.
type forms struct {
	// Lost is that one if the page has no place for it any more.
	Lost *form

	at      string
	version eventsourcing.Version
	sent    *form
	placed  *bool // whether the page has asked for the one that was sent
}

func newForms(at string, version eventsourcing.Version, sent *form) forms {
	return forms{at: at, version: version, sent: sent, placed: new(bool)}
}

// lose sets Lost where a rendered page has not asked for what was sent: what was typed is not lost when its user was disabled meanwhile.
func (f *forms) lose() {
	if f.sent != nil && !*f.placed {
		f.Lost = f.sent
	}
}

// Form is the form of that name, with its fields' values in pairs. One that was refused has what its reader typed.
func (f forms) Form(name string, fields ...string) form {
	if f.sent != nil && f.sent.Name == name {
		*f.placed = true
		again := *f.sent
		if again.Version > 0 {
			again.Version = f.version
		}
		return again
	}
	return newForm(f.at, name, f.version, fields...)
}

// FormOf is a form about a part, such as a role that a user holds.
func (f forms) FormOf(name, part string, fields ...string) form {
	return f.Form(name+"/"+part, fields...)
}

// instant is a time as its field has it: in UTC, which a script turns into the reader's zone.
func instant(t *time.Time) string {
	if t == nil {
		return ""
	}
	return page.Instant(*t)
}
