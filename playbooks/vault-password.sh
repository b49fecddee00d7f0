#!/bin/sh
# Ansible asks this script for the vault password: from the environment, from a file that the environment
# names, or the rehearsal lab's own. Without any, encrypted files stay closed and plain ones can be read.
lab=/var/lib/rmc-dr/lab/private/vault-password
if [ -n "$RMC_DR_VAULT_PASSWORD" ]; then
  printf '%s\n' "$RMC_DR_VAULT_PASSWORD"
elif [ -r "${RMC_DR_VAULT_PASSWORD_FILE:-$lab}" ]; then
  cat "${RMC_DR_VAULT_PASSWORD_FILE:-$lab}"
else
  echo no-vault-password-given
fi
