// Says the feedback of the chosen answer; without this script all of it can be unfolded.
for (const question of document.querySelectorAll(".self-check-question")) {
  const said = question.querySelector(".self-check-said");
  question.querySelector("details").hidden = true;
  question.addEventListener("change", (event) => {
    const feedback = document.getElementById(event.target.value);
    said.innerHTML = feedback.innerHTML;
    said.classList.toggle("right", feedback.classList.contains("right"));
  });
}
