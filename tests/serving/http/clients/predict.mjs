// Posts each body to the address with fetch as it comes, and prints status and answer.
const [address, ...bodies] = process.argv.slice(2);
for (const body of bodies) {
  const answer = await fetch(address, { method: "POST", body });
  console.log(answer.status, await answer.text());
}
