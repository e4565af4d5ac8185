// Lets whoever enters a contact think in their own time zone: the server gives times in UTC, and
// takes them with the offset that the zone has at that time. Without it they are in UTC.

const digits = (number) => String(number).padStart(2, "0");

/** As a field for date and time has it. */
function local(at) {
  const day = [at.getFullYear(), digits(at.getMonth() + 1), digits(at.getDate())].join("-");
  return `${day}T${digits(at.getHours())}:${digits(at.getMinutes())}`;
}

for (const offset of document.querySelectorAll("input[data-offset-of]")) {
  const field = document.getElementById(offset.dataset.offsetOf);
  const note = () => {
    const at = new Date(field.value);
    offset.value = Number.isNaN(at.valueOf()) ? "" : String(-at.getTimezoneOffset());
  };
  // With an offset it is what was typed before, and stays.
  if (field.value && !offset.value) field.value = local(new Date(`${field.value}Z`));
  note();
  field.addEventListener("input", note);
}
