// The pages before one is signed in: show the password; say what went wrong with a passkey.
for (const button of document.querySelectorAll("[data-show]")) {
  const input = document.getElementById(button.dataset.show);
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
  });
}
document.addEventListener("allauth.error", (event) => {
  const place = document.getElementById("passkey-error");
  if (!place) return;
  event.preventDefault();
  const name = event.detail.exception?.name;
  place.textContent = !window.isSecureContext ? "Passkeys need an address that begins with https, or localhost."
    : name === "SecurityError" ? "Passkeys need the box to be opened by a name, not by a number."
    : name === "NotAllowedError" ? "No passkey was used. Try again, or sign in another way."
    : "The passkey did not work. Sign in another way.";
  place.hidden = false;
});
