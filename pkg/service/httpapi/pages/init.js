// What is optional is shown with an example, and sent only if somebody fills it in.
fetch("/openapi.json").then((answer) => answer.json()).then((spec) => {
  for (const operations of Object.values(spec.paths)) {
    for (const operation of Object.values(operations)) {
      for (const parameter of operation.parameters ?? []) {
        if (parameter.required || parameter.example === undefined) continue;
        parameter.description = `${parameter.description ?? parameter.schema.description ?? ""} (such as \`${parameter.example}\`)`;
        delete parameter.example;
        delete parameter.schema.examples;
      }
    }
  }
  SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
  });
});
