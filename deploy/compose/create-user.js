// Runs once, while the data folder of MongoDB is still empty: the user of Jobwright may use its own database and nothing else.
const password = require("fs").readFileSync("/run/secrets/mongo_password", "utf8").trim();
db.getSiblingDB("jobwright").createUser({
  user: "jobwright",
  pwd: password,
  roles: [{ role: "readWrite", db: "jobwright" }],
});
