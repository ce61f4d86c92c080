// ---- Copying: what has data-copy gets a button that takes it to the clipboard; without one it is marked and copied by hand.
document.querySelectorAll("[data-copy]").forEach((text) => {
  if (!navigator.clipboard) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy: " + (text.getAttribute("aria-label") || "this"));
  const said = document.createElement("span");
  said.className = "quiet";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Your browser does not allow it: mark it and copy it by hand.";
    }
  });
  const row = document.createElement("div");
  row.className = "row";
  row.append(button, said);
  text.after(row);
});
