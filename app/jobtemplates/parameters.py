"""The way of parameters, to a save and to a run alike: keep, open, resolve, check, grant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.connections.destinations import kept_elsewhere
from app.connections.inventory import Inventory
from app.connections.named import NamedConnections
from app.connections.service import Connections
from app.connections.vault import Vault
from app.errors import FieldError
from app.jobtemplates.entry import TemplateVersion
from app.validation.dynamic import Known, Resolved, resolve
from app.validation.together import beside
from templates_lib.base import ConnectionGrant


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of one job or run, against one version of a template. The schema is walked once, and the connections that they name are
    read once. `given` are the parameters as they came; `kept` have the stored secrets that `given` only mask; `clear` have the named
    secrets as well."""

    entry: TemplateVersion
    given: Inventory
    kept: Inventory
    clear: Inventory
    named: NamedConnections

    @property
    def value(self) -> Any:
        """The parameters with all their secrets in the clear; they must go nowhere but to the validator and to the run."""
        return self.clear.value

    def resolve(self, known: Known) -> Resolved:
        """Returns the parameters with what their dynamic values become."""
        return resolve(self.entry.parameters_schema, self.value, known)

    def reference_errors(self) -> list[FieldError]:
        """Returns what is wrong with the connections and secrets that they name, and with secrets that would go to another destination than
        before."""
        return [*self.named.errors(self.kept, templates=self.entry.families), *kept_elsewhere(self.given)]

    def errors_ahead(self, known: Known) -> list[FieldError]:
        """Returns everything that is wrong with the parameters of a run to come, as far as their dynamic values are known, at pointers into
        them."""
        references = {error.pointer: error for error in self.reference_errors()}
        # A secret that does not exist also fails the schema, as it is no text: only the message that names it is told.
        schema_errors = [error for error in self.entry.check_ahead(self.value, known) if error.pointer not in references]
        return [*beside([*schema_errors, *references.values()], self._payload_errors_ahead(known))]

    def payload_errors(self) -> list[FieldError]:
        """Returns what is wrong with values for which a connection has a schema, once their dynamic values are resolved."""
        return self.named.misjudged(self.clear)

    def _payload_errors_ahead(self, known: Known) -> list[FieldError]:
        if not any(True for _ in self.clear.judged()):
            return []
        resolved = self.resolve(known)
        open_places = (*resolved.open, *(error.pointer for error in resolved.errors))
        inventory = replace(self.clear, value=resolved.value)
        return [error for error in self.named.misjudged(inventory) if error.pointer not in open_places]

    def grants(self) -> dict[str, ConnectionGrant]:
        """Returns the connections that they name, in the clear, for one attempt; one that does not exist is left out."""
        return self.named.grant({name for _, name, _ in self.clear.connections()})


class ParameterPipeline:
    """Makes Parameters:

    1. keep: secrets that are only masked are taken from the stored parameters.
    2. open: secrets that are kept elsewhere are filled in by their names.
    3. resolve: dynamic values become what the run knows (`Parameters.resolve`, `with_resolved`).
    4. check: connections, secrets, schema and the template's own rules (`Parameters.reference_errors`, `errors_ahead`,
       `TemplateVersion.check`).
    5. grant: a run gets its connections (`Parameters.grants`); a save is sealed (`seal`).
    """

    def __init__(self, connections: Connections, vault: Vault) -> None:
        self._connections, self._vault = connections, vault

    def open(self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> Parameters:
        """Steps 1 and 2, for parameters as a person or program gives them. `stored` holds the secrets that they only mask."""
        given = Inventory.of(entry.parameters_schema, parameters, stored)
        return self._opened(entry, given, self._vault.keep(given))

    def open_stored(self, entry: TemplateVersion, stored: Mapping[str, Any]) -> Parameters:
        """Steps 1 and 2, for parameters as they are stored. Raises StartError if a secret was sealed with another key."""
        clear = Inventory.of(entry.parameters_schema, self._vault.open(stored))
        return self._opened(entry, clear, clear)

    def with_resolved(self, parameters: Parameters, value: Any) -> Parameters:
        """Step 3: returns the parameters with the value that they became, which may name other connections."""
        if value is parameters.value:
            return parameters
        resolved = Inventory.of(parameters.entry.parameters_schema, value)
        named = parameters.named
        if not {name for _, name, _ in resolved.connections()} <= {name for _, name, _ in parameters.kept.connections()}:
            named = self._connections.named_in(resolved)
        return replace(parameters, given=resolved, kept=resolved, clear=resolved, named=named)

    def seal(self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
        """Returns parameters as they are stored: secrets sealed, those that are only masked taken from `stored`."""
        return self.seal_given(Inventory.of(entry.parameters_schema, parameters, stored))

    def seal_given(self, given: Inventory) -> dict[str, Any]:
        """Returns the same for parameters that `open` has walked already (`Parameters.given`)."""
        return dict(self._vault.seal(given))

    def changed_secrets(self, entry: TemplateVersion, parameters: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
        """Returns pointers of the secrets in `parameters` that `stored` does not have, or has with another value."""
        schema = entry.parameters_schema
        before = {site.pointer: site.value for site in Inventory.of(schema, self._vault.open(stored)).secrets()}
        after = self._vault.keep(Inventory.of(schema, parameters, stored)).secrets()
        return [site.pointer for site in after if before.get(site.pointer) != site.value]

    def _opened(self, entry: TemplateVersion, given: Inventory, kept: Inventory) -> Parameters:
        named = self._connections.named_in(kept)
        return Parameters(entry=entry, given=given, kept=kept, clear=named.open_secrets(kept), named=named)
