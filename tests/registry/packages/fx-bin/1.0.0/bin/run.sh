#!/bin/sh
echo shell "$@"
