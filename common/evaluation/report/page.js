// Moves the pictures of the explorer: each sheet holds the images of one sample, category by category and in each code
// by code, position by position.
"use strict";

(async () => {
  const explorer = document.getElementById("explorer");
  if (!explorer) return;
  const plan = JSON.parse(explorer.dataset.plan);
  const sheets = [...explorer.querySelectorAll("img.sheet")];
  await Promise.all(sheets.map((sheet) => sheet.decode()));
  const sliders = [...explorer.querySelectorAll("input[type=range]")];
  const choices = (name) => [...explorer.querySelectorAll(`input[name=${name}]`)];
  const chosen = (name) => Math.max(0, choices(name).findIndex((input) => input.checked));
  const positions = sliders.length ? plan.values.length : 1;
  let moved = 0; // The slider that was moved last.

  const draw = (canvas, sample, category, position) => {
    const image = (category * Math.max(1, sliders.length) + moved) * positions + position;
    const { width, height } = plan;
    const [x, y] = [(image % plan.columns) * width, Math.floor(image / plan.columns) * height];
    canvas.getContext("2d").drawImage(sheets[sample], x, y, width, height, 0, 0, width, height);
  };

  const show = () => {
    const [sample, category] = [chosen("sample"), chosen("category")];
    const words = choices("category").length ? [`${plan.kind} ${category}`] : [];
    sliders.forEach((slider, number) => {
      if (number !== moved) slider.value = plan.starts[sample][number]; // A code moves alone.
      const value = plan.values[slider.value].toFixed(2).replace("-", "\u2212");
      slider.setAttribute("aria-valuetext", `c${plan.codes[number]} = ${value}`);
      slider.nextElementSibling.textContent = value;
      if (number === moved) words.push(`c${plan.codes[number]} = ${value}`);
    });
    const position = sliders.length ? Number(sliders[moved].value) : 0;
    draw(document.getElementById("shown"), sample, category, position);
    choices("category").forEach((input, other) => draw(input.nextElementSibling, sample, other, position));
    choices("sample").forEach((input, other) => draw(input.nextElementSibling, other, category, position));
    document.getElementById("says").value = [...words, `sample ${sample + 1}`].join(", ");
  };

  sliders.forEach((slider, number) => slider.addEventListener("input", () => { moved = number; show(); }));
  explorer.addEventListener("change", show);
  if (sliders.length) sliders[0].value = plan.starts[chosen("sample")][0];
  show();
})();
