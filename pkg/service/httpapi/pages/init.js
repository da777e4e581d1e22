// Shows the OpenAPI document so that "Try it out" and "Execute" work as they come: with ids that exist, and with new values where
// they have to be new. What is optional is shown with an example, and sent only if somebody fills it in.
(async () => {
  const fetched = async (path) => {
    try {
      const answer = await fetch(path);
      return answer.ok ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  };
  const doc = await fetched("/openapi.json");
  const lists = {};
  const list = async (collection) => {
    if (!doc.paths["/" + collection]?.get) return [];
    lists[collection] ??= (await fetched(`/${collection}?limit=100`)) ?? [];
    return lists[collection];
  };
  const letters = () => Array.from({ length: 5 }, () => String.fromCharCode(97 + Math.floor(Math.random() * 26))).join("");
  const fresh = (value) => value.replace(/^[^@]+/, (name) => `${name}-${letters()}`);

  for (const [path, operations] of Object.entries(doc.paths)) {
    const [, collection, , nested] = path.split("/");
    for (const [method, operation] of Object.entries(operations)) {
      const parameters = operation.parameters ?? [];
      for (const p of parameters.filter((p) => !p.required)) {
        if (p.example !== undefined) p.description = `${p.description ?? p.schema.description ?? ""} (such as \`${p.example}\`)`;
        delete p.example;
        delete p.schema.example;
        delete p.schema.examples;
      }
      const body = Object.values(operation.requestBody?.content ?? {})[0];
      for (const member of doc["x-unique"] ?? []) {
        if (body?.example?.[member]) body.example[member] = fresh(body.example[member]);
      }
      if (body?.example && (await list(collection)).length) delete body.example.id; // the service makes a new one
      const id = parameters.find((p) => p.in === "path" && p.name === "id");
      if (!id) continue;
      const all = await list(collection);
      const toggles = /\/(dis|en)able$/.test(path); // the last one, so that the other operations work afterwards, too
      const fitting = all.filter((one) => Boolean(one.disabled) === path.endsWith("/enable"));
      const holder = method === "delete" && fitting.find((one) => one[nested]?.length);
      const chosen = holder || (fitting.length ? fitting : all).at(toggles ? -1 : 0);
      if (!chosen) continue;
      id.example = chosen.id;
      const inner = parameters.find((p) => p.in === "path" && p.name !== "id");
      if (inner && chosen[nested]?.length) inner.example = chosen[nested][0].id;
      for (const member of Object.keys(body?.example ?? {}).filter((name) => name.endsWith("Id"))) {
        const held = new Set((chosen[nested] ?? []).map((one) => one.id));
        const free = (await list(nested)).find((one) => !held.has(one.id) && !one.disabled);
        if (free) body.example[member] = free.id;
      }
    }
  }
  // Swagger UI would log in to an OpenID provider, of which it asks for a client; here a token is pasted.
  for (const scheme of Object.values(doc.components?.securitySchemes ?? {})) {
    Object.assign(scheme, { type: "http", scheme: "bearer" });
  }
  SwaggerUIBundle({
    spec: doc,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
  });
})();
