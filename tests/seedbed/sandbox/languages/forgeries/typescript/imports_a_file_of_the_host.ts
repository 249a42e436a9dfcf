import text from "/etc/passwd";
/// <reference path="/etc/passwd" />
console.log(text);
