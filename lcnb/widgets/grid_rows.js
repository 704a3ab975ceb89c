// What a table shows: the text of a cell, which rows a filter keeps and in which order, sums, and times from now.
const COLLATOR = new Intl.Collator(undefined, { numeric: true });
const HOUR_MS = 3600e3, DAY_MS = 24 * HOUR_MS;
const isMissing = (value) => value === null || value === undefined || value === "";
const comparable = (text) => text.normalize("NFC").toLowerCase();
const grouped = new Intl.NumberFormat("en-US").format;
const money = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format;
const plural = (count, name) => `${grouped(count)} ${name}${count === 1 ? "" : "s"}`;

// The text of a cell as people see it; "" where a value is missing.
function cellText(row, column) {
  const value = row[column.name];
  if (isMissing(value)) return "";
  if (column.kind === "money") return `${money(value)} ${row[column.unit] ?? ""}`.trim();
  if (column.kind === "tags") return value.join("; ");
  return typeof value === "number" ? grouped(value) : String(value);
}

// All texts of a row that a search looks at: as shown, numbers also without their commas, and the title of a mark.
function searchText(row, columns) {
  const texts = columns.map((each) => `${cellText(row, each)} ${typeof row[each.name] === "number" ? row[each.name] : ""}`);
  for (const each of columns) if (each.mark && row[each.mark.name] === "yes") texts.push(each.mark.title);
  return comparable(texts.join(" \n "));
}

// "in 3 h", "in 12 d", or "expired 2 d ago" for a time that has passed.
function fromNow(iso, now) {
  const left = new Date(iso).getTime() - now, size = Math.abs(left);
  if (Number.isNaN(left)) return String(iso);
  const [count, unit] = size < HOUR_MS ? [size / 60e3, "min"] : size < 2 * DAY_MS ? [size / HOUR_MS, "h"] : [size / DAY_MS, "d"];
  return left > 0 ? `in ${Math.max(1, Math.floor(count))} ${unit}` : `expired ${Math.floor(count)} ${unit} ago`;
}

// The choices of a menu: pairs of a value and its text, with the number of rows of each.
function menuOptions(rows, menu) {
  const rowsOf = new Map(), tagsOf = new Map();
  const add = (value) => rowsOf.set(value, (rowsOf.get(value) || 0) + 1);
  for (const row of rows) {
    const value = row[menu.name];
    if (isMissing(value) || value.length === 0) add("");
    else if (!Array.isArray(value)) add(String(value));
    else for (const tag of value) {
      const key = tag.split("=", 1)[0];
      tagsOf.set(key, (tagsOf.get(key) || new Set()).add(tag));
      add(tag);
      if (tag !== key) add(key);
    }
  }
  const ofSeveral = (value) => (tagsOf.get(value)?.size || 0) > 1;
  const offered = (value) => value !== "" && (!tagsOf.has(value) || ofSeveral(value) || tagsOf.get(value).has(value));
  const options = [...rowsOf.keys()].filter(offered).sort(COLLATOR.compare)
    .map((value) => [value, `${menu.titles?.[value] ?? value}${ofSeveral(value) ? " (any value)" : ""} – ${rowsOf.get(value)}`]);
  return options.length && rowsOf.has("") ? [...options, ["", `${menu.none} – ${rowsOf.get("")}`]] : options;
}

// Whether a row has the chosen value of a menu; a key of a tag means all its values.
function hasValue(row, name, chosen) {
  const value = row[name];
  if (chosen === "") return isMissing(value) || (Array.isArray(value) && !value.length);
  if (Array.isArray(value)) return value.some((tag) => tag === chosen || tag.startsWith(`${chosen}=`));
  return String(value) === chosen;
}

function compareCells(a, b) {
  if (a === b) return 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return COLLATOR.compare(String(a), String(b));
}

// Rows in the order of a column; rows without a value come last in both directions.
function sortRows(rows, column, down) {
  const key = (row) => column.kind === "tags" ? cellText(row, column) : row[column.name];
  const there = rows.filter((row) => !isMissing(key(row))), missing = rows.filter((row) => isMissing(key(row)));
  const way = down ? -1 : 1;
  const currency = (row) => String(row[column.unit] ?? "");
  there.sort((one, other) => (column.unit ? COLLATOR.compare(currency(one), currency(other)) : 0)
    || way * compareCells(key(one), key(other)));
  return [...there, ...missing];
}

// "45.00 USD + 30.00 BRL per month, 1 without a price": currencies are never added up.
function sumText(rows, column) {
  const sums = new Map();
  let unpriced = 0;
  for (const row of rows) {
    if (isMissing(row[column.name])) { unpriced += 1; continue; }
    const unit = row[column.unit] ?? "";
    sums.set(unit, (sums.get(unit) || 0) + row[column.name]);
  }
  const priced = [...sums].sort().map(([unit, value]) => `${money(value)} ${unit}`.trim()).join(" + ");
  return [priced && `${priced} ${column.per}`, unpriced && `${unpriced} without a price`].filter(Boolean).join(", ");
}
