// Times are written in UTC; people read them in their own zone.
(() => {
  const format = new Intl.DateTimeFormat(undefined, {
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
  });
  const localise = (root) => {
    for (const t of root.querySelectorAll('time[datetime]')) {
      const at = new Date(t.dateTime);
      if (!Number.isNaN(at.getTime())) {
        t.textContent = format.format(at);
        t.title = t.dateTime;
      }
    }
  };
  // A time that is typed is one of this zone, and is sent in UTC.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const typed = (at) => new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  for (const input of document.querySelectorAll('input[type=datetime-local]')) {
    if (input.value) {
      input.value = typed(new Date(`${input.value}Z`));
    }
    const label = input.labels[0].querySelector('.zone');
    if (label) {
      label.textContent = `(${zone})`;
    }
    input.form.addEventListener('formdata', (e) => {
      const at = new Date(input.value);
      if (!Number.isNaN(at.getTime())) {
        e.formData.set(input.name, at.toISOString().slice(0, 19));
      }
    });
  }
  localise(document);
  document.addEventListener('htmx:afterSwap', (e) => localise(e.detail.target || document));
  // An answer that says what is wrong is shown like any other.
  document.addEventListener('htmx:beforeSwap', (e) => {
    if ((e.detail.xhr.getResponseHeader('Content-Type') || '').startsWith('text/html')) {
      e.detail.shouldSwap = true;
      e.detail.isError = false;
    }
  });
  // The slider keeps its keyboard focus while what is around it changes.
  document.addEventListener('htmx:afterSettle', (e) => {
    if (e.detail.target && e.detail.target.id === 'travel') {
      document.getElementById('at').focus();
    }
  });
})();
