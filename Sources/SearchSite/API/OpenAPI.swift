/// The interface for programs, as `GET /openapi.json` answers (OpenAPI 3.1). The tests hold the server
/// to it.
let openAPIDocument = #"""
    {
      "openapi": "3.1.0",
      "info": {
        "title": "Picture Search",
        "version": "1.0.0",
        "description": "Finds pictures by what they show: by words, by stored pictures, by a picture that is sent. Scores are cosines between CLIP embeddings. An address has at most 16 KiB."
      },
      "paths": {
        "/api/search": {
          "get": {
            "operationId": "search",
            "summary": "The pictures nearest to words and stored pictures",
            "description": "At least one of q, more and image_key is needed.",
            "parameters": [
              { "$ref": "#/components/parameters/q" },
              { "$ref": "#/components/parameters/more" },
              { "$ref": "#/components/parameters/less" },
              { "$ref": "#/components/parameters/image_key" },
              { "$ref": "#/components/parameters/limit" },
              { "$ref": "#/components/parameters/offset" },
              { "$ref": "#/components/parameters/min_score" }
            ],
            "responses": {
              "200": { "$ref": "#/components/responses/found" },
              "400": { "$ref": "#/components/responses/problem" },
              "401": { "$ref": "#/components/responses/problem" },
              "404": { "$ref": "#/components/responses/problem" },
              "421": { "$ref": "#/components/responses/problem" },
              "429": { "$ref": "#/components/responses/later" },
              "503": { "$ref": "#/components/responses/later" }
            }
          },
          "post": {
            "operationId": "searchWithPicture",
            "summary": "The pictures nearest to a picture that is sent, and to words",
            "description": "Fields may be part of the form or of the address. The picture is compared and forgotten.",
            "parameters": [
              { "$ref": "#/components/parameters/q" },
              { "$ref": "#/components/parameters/more" },
              { "$ref": "#/components/parameters/less" },
              { "$ref": "#/components/parameters/image_key" },
              { "$ref": "#/components/parameters/limit" },
              { "$ref": "#/components/parameters/offset" },
              { "$ref": "#/components/parameters/min_score" }
            ],
            "requestBody": {
              "required": true,
              "content": {
                "multipart/form-data": {
                  "schema": {
                    "type": "object",
                    "required": ["picture"],
                    "properties": { "picture": { "type": "string", "format": "binary" } }
                  }
                },
                "image/jpeg": { "schema": { "type": "string", "format": "binary" } },
                "application/octet-stream": { "schema": { "type": "string", "format": "binary" } }
              }
            },
            "responses": {
              "200": { "$ref": "#/components/responses/found" },
              "400": { "$ref": "#/components/responses/problem" },
              "401": { "$ref": "#/components/responses/problem" },
              "403": { "$ref": "#/components/responses/problem" },
              "404": { "$ref": "#/components/responses/problem" },
              "413": { "$ref": "#/components/responses/problem" },
              "415": { "$ref": "#/components/responses/problem" },
              "421": { "$ref": "#/components/responses/problem" },
              "422": { "$ref": "#/components/responses/problem" },
              "429": { "$ref": "#/components/responses/later" },
              "503": { "$ref": "#/components/responses/later" }
            }
          }
        },
        "/api/pictures/{key}": {
          "get": {
            "operationId": "picture",
            "summary": "What is known of a stored picture",
            "parameters": [
              {
                "name": "key", "in": "path", "required": true,
                "description": "The picture's key in the bucket as one path segment: a slash is written %2F.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 1024 }
              }
            ],
            "responses": {
              "200": {
                "description": "The picture",
                "content": {
                  "application/json": { "schema": { "$ref": "#/components/schemas/Picture" } }
                }
              },
              "401": { "$ref": "#/components/responses/problem" },
              "404": { "$ref": "#/components/responses/problem" },
              "421": { "$ref": "#/components/responses/problem" },
              "429": { "$ref": "#/components/responses/later" },
              "503": { "$ref": "#/components/responses/later" }
            }
          }
        },
        "/health": {
          "get": {
            "operationId": "health",
            "summary": "Whether the process lives",
            "security": [],
            "responses": { "200": { "$ref": "#/components/responses/status" } }
          }
        },
        "/ready": {
          "get": {
            "operationId": "ready",
            "summary": "Whether searches can be answered: model loaded, database reachable",
            "security": [],
            "responses": {
              "200": { "$ref": "#/components/responses/status" },
              "503": {
                "description": "Not yet, or not at the moment",
                "headers": { "Retry-After": { "$ref": "#/components/headers/RetryAfter" } },
                "content": {
                  "application/json": { "schema": { "$ref": "#/components/schemas/Status" } }
                }
              }
            }
          }
        }
      },
      "components": {
        "securitySchemes": {
          "basic": { "type": "http", "scheme": "basic" },
          "bearer": { "type": "http", "scheme": "bearer" }
        },
        "parameters": {
          "q": {
            "name": "q", "in": "query",
            "description": "Words that describe the picture, at most 1,000 code points.",
            "schema": { "type": "string", "maxLength": 1000 }
          },
          "more": {
            "name": "more", "in": "query",
            "description": "Further words for which pictures count more.",
            "style": "form", "explode": true,
            "schema": {
              "type": "array", "maxItems": 8, "items": { "type": "string", "maxLength": 1000 }
            }
          },
          "less": {
            "name": "less", "in": "query",
            "description": "Words against which pictures count.",
            "style": "form", "explode": true,
            "schema": {
              "type": "array", "maxItems": 8, "items": { "type": "string", "maxLength": 1000 }
            }
          },
          "image_key": {
            "name": "image_key", "in": "query",
            "description": "Keys of stored pictures that the wanted ones resemble.",
            "style": "form", "explode": true,
            "schema": {
              "type": "array", "maxItems": 8, "items": { "type": "string", "maxLength": 1024 }
            }
          },
          "limit": {
            "name": "limit", "in": "query",
            "schema": { "type": "integer", "minimum": 1, "maximum": 240, "default": 10 }
          },
          "offset": {
            "name": "offset", "in": "query",
            "description": "How many of the nearest to pass over.",
            "schema": { "type": "integer", "minimum": 0, "maximum": 100000, "default": 0 }
          },
          "min_score": {
            "name": "min_score", "in": "query",
            "description": "The least cosine. There is no level that fits every query: pictures lie far from texts (0.2 to 0.35 where a text describes a picture well) and near to one another.",
            "schema": { "type": "number", "minimum": -1, "maximum": 1 }
          }
        },
        "headers": {
          "RetryAfter": {
            "description": "Seconds to wait before the next attempt.",
            "required": true,
            "schema": { "type": "integer", "minimum": 1 }
          }
        },
        "responses": {
          "found": {
            "description": "The nearest pictures, nearest first",
            "content": {
              "application/json": { "schema": { "$ref": "#/components/schemas/Found" } }
            }
          },
          "status": {
            "description": "Yes",
            "content": {
              "application/json": { "schema": { "$ref": "#/components/schemas/Status" } }
            }
          },
          "problem": {
            "description": "The request cannot be answered as it is",
            "content": {
              "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } }
            }
          },
          "later": {
            "description": "The same request may be answered later",
            "headers": { "Retry-After": { "$ref": "#/components/headers/RetryAfter" } },
            "content": {
              "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } }
            }
          }
        },
        "schemas": {
          "Found": {
            "type": "object",
            "required": ["results", "has_more", "is_truncated"],
            "additionalProperties": false,
            "properties": {
              "results": { "type": "array", "items": { "$ref": "#/components/schemas/Hit" } },
              "has_more": {
                "type": "boolean", "description": "Whether there are pictures after these."
              },
              "is_truncated": {
                "type": "boolean",
                "description": "Whether a text was longer than the 77 tokens that CLIP reads."
              }
            }
          },
          "Hit": {
            "type": "object",
            "required": ["rank", "key", "score", "url"],
            "additionalProperties": false,
            "properties": {
              "rank": { "type": "integer", "minimum": 1 },
              "key": { "type": "string" },
              "score": { "type": "number", "minimum": -1.0001, "maximum": 1.0001 },
              "url": { "$ref": "#/components/schemas/URL" }
            }
          },
          "Picture": {
            "type": "object",
            "required": ["key", "url", "size", "similar"],
            "additionalProperties": false,
            "properties": {
              "key": { "type": "string" },
              "url": { "$ref": "#/components/schemas/URL" },
              "size": {
                "type": ["integer", "null"], "minimum": 0,
                "description": "Bytes of the file, where the store tells them."
              },
              "similar": { "type": "string", "description": "The search for pictures like it." }
            }
          },
          "URL": {
            "type": ["string", "null"],
            "description": "Where the picture is: a path of this site, or a link that works for an hour. Null for a key that no store can have."
          },
          "Status": {
            "type": "object",
            "required": ["status"],
            "additionalProperties": false,
            "properties": {
              "status": { "enum": ["ok", "unavailable"] },
              "reason": { "type": "string" }
            }
          },
          "Problem": {
            "type": "object",
            "required": ["title", "status", "detail"],
            "additionalProperties": false,
            "properties": {
              "title": { "type": "string" },
              "status": { "type": "integer" },
              "detail": { "type": "string" },
              "reason": { "type": "string" }
            }
          }
        }
      }
    }

    """#
